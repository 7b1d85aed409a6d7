"""Compressed streams, and archives read whole and in parts."""

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections import Counter

import pyarrow as pa
import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Deletion, Rejection
from craft_ray.readers import archives, is_shard_name, limits, read_items, read_shard
from craft_ray.readers.archives import ArchivePart, archive_kind
from craft_ray.readers.compression import decompress, peek
from craft_ray.readers.reader import ReadOptions
from tests.support.failing_file import FailingFile
from tests.support.hostile.corpus import cases
from tests.support.hostile.making import GOOD, line, tar
from tests.support.reading import read, refused

ARCHIVES = [case for case in cases() if ".tar" in case.name]
MANY = tar(*((f"folder/{number}.jsonl", line(f"a{number}") + line(f"b{number}") + b"?\n") for number in range(20)))


PACKERS = {
    "gz": gzip.compress,
    "bz2": lambda content: bz2.compress(content, 1),
    "xz": lambda content: lzma.compress(content, preset=0),
    "zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_streams(suffix: str):
    pack = PACKERS[suffix]
    one, two = (b"".join(line(f"{part}-{i}", f"{i * 7919}") for i in range(4000)) for part in "ab")
    whole = read(one + two, "x.jsonl")
    assert read(pack(one + two), f"x.jsonl.{suffix}") == whole
    assert read(pack(one) + pack(two), "x.jsonl") == whole
    assert len(read(pack(tar(("a.jsonl", one), ("b.jsonl", two))), f"x.tar.{suffix}")) == len(whole)
    assert is_shard_name(f"x.jsonl.{suffix}")
    items = []
    for damaged in pack(one + two)[:-12], pack(one) + b"more":
        with pytest.raises(ShardError, match="bad_gzip"):
            items.extend(read_shard(io.BytesIO(damaged), "x.jsonl"))
        assert items[:1000] == whole[:1000]
        items.clear()


@pytest.mark.parametrize("suffix", PACKERS)
def test_errors_of_a_store_pass_through_a_compressed_stream(suffix: str):
    content = PACKERS[suffix](random.Random(1).randbytes(1 << 20))
    with pytest.raises(ConnectionError):
        list(read_shard(FailingFile(content, 2000, ConnectionError("gone")), "x.txt"))


def test_a_large_dictionary_of_xz_is_refused():
    content = lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 29}])
    assert refused(content, "x.txt")[0] == "bad_gzip"


def zipped(*files: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return sink.getvalue()


FILES = (
    ("a/x.jsonl", line("one")),
    ("./b.txt", b"Pax6"),
    ("c.txt.gz", gzip.compress(b"mice")),
    ("broken.nxml", b"<article><p>"),
    ("README.md", b"not input"),
    ("__MACOSX/a/._x.jsonl", b"\0\5\x16\7"),
    ("a/._x.jsonl", b"\0\5\x16\7"),
    (".hidden/y.txt", b"mice"),
)


@pytest.mark.parametrize("archive", [tar, zipped])
def test_archives_pass_over_hidden_files(archive):
    content = archive(*FILES)
    ids = [item.doc_id.removeprefix("x!") for item in read(content, "x")]
    assert ids == ["one", "./b.txt", "c.txt.gz", "broken.nxml#unreadable"]
    assert_parts_equal_the_whole(content)


def test_damaged_zip_archives(monkeypatch: pytest.MonkeyPatch):
    content = zipped(*FILES)
    assert refused(content[:-30], "x.zip")[0] == "bad_archive"
    at = content.index(b"b.txt") + 8
    found = read(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :], "x.zip")
    assert {item.doc_id: getattr(item, "reason", None) for item in found}["x.zip!./b.txt"] == "bad_archive"
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 10)
    assert {getattr(item, "reason", None) for item in read(zipped(("a.txt", b"mice " * 9)), "x.zip")} == {"too_large"}
    monkeypatch.setattr(archives, "MAX_ZIP_DIRECTORY", 100)
    assert refused(content, "x.zip")[0] == "too_large"


def texts(names: str) -> dict[str, str]:
    """Texts that hardly any method compresses, by file name."""
    return {f"{name}.txt": random.Random(name).randbytes(2000).hex() for name in names}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_file_of_a_zip_costs_that_file(method: int):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, text in texts("abcde").items():
            archive.writestr(name, text)
        start = archive.getinfo("c.txt").header_offset
    damaged = bytearray(content.getvalue())
    damaged[start + 100 : start + 200] = b"\xff" * 100
    found = {item.doc_id: getattr(item, "reason", None) for item in read(bytes(damaged), "x.zip")}
    assert found == {f"x.zip!{name}": None for name in texts("abde")} | {"x.zip!c.txt": "bad_archive"}


class Unreachable(io.BytesIO):
    """A file of a store that fails in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if 30 < self.tell() < 1000:
            raise OSError(5, "the store does not answer")
        return super().read(size)


def test_an_error_of_the_store_in_a_zip_is_not_damage():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_BZIP2) as archive:
        for name, text in texts("a").items():
            archive.writestr(name, text)
    with zipfile.ZipFile(Unreachable(content.getvalue())) as archive, pytest.raises(OSError, match="does not answer"):
        archives._zip_content(archive, archive.getinfo("a.txt"))


def test_office_documents_are_no_archives():
    for first in ("[Content_Types].xml", "mimetype", "word/document.xml"):
        assert refused(zipped((first, b"x"), ("a.txt", b"mice")), "x.docx")[0] == "unknown_format"


def test_compressed_csv_in_a_folder_is_input():
    assert [name for name in ("x.csv", "x.tsv", "x.csv.gz", "x.TSV.zst", "x.zip") if is_shard_name(name)] == [
        "x.csv.gz",
        "x.TSV.zst",
        "x.zip",
    ]


def found(content: bytes, part: ArchivePart | None = None) -> tuple[Counter[tuple[str, str]], str | None]:
    """Count each item with its key, and return the error at the end."""
    items: Counter[tuple[str, str]] = Counter()
    try:
        items.update((key, repr(item)) for key, item in read_items(io.BytesIO(content), "x", ReadOptions(), part))
    except ShardError as error:
        return items, str(error)
    return items, None


def assert_parts_equal_the_whole(content: bytes) -> None:
    whole, error = found(content)
    is_archive = archive_kind(peek(decompress(io.BytesIO(content))))
    for count in (2, 3, 4):
        parts = [found(content, ArchivePart(number, count)) for number in range(count)]
        assert sum((items for items, _ in parts), Counter()) == whole
        assert [ending for _, ending in parts] == [error, *[error if is_archive else None] * (count - 1)]


@pytest.mark.parametrize("case", ARCHIVES, ids=lambda case: case.name)
def test_parts_of_hostile_archives_equal_the_whole(case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 15 << 20)
    assert_parts_equal_the_whole(case.make())


@pytest.mark.parametrize("count", [2, 3, 4])
def test_parts_share_the_files(count: int):
    files = [found(MANY, ArchivePart(number, count))[0].total() // 3 for number in range(count)]
    assert sum(files) == 20
    assert min(files) >= 2


def test_a_plain_file_is_in_the_first_part():
    for content in GOOD["jsonl"], GOOD["pubmed"], gzip.compress(GOOD["jsonl"], mtime=0):
        assert found(content, ArchivePart(0, 2)) == found(content)
        assert found(content, ArchivePart(1, 2)) == (Counter(), None)


LONG = "n" * 700 + ".jsonl"
NAMES = ["a.txt", "a.jsonl", "a#b.jsonl", "#.jsonl", "caf\udce9.jsonl", LONG, "n" * 700 + "2.jsonl", "!.jsonl"]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_keys_and_derived_ids_belong_to_one_part(count: int):
    content = tar(*((name, b"Pax6" if name == "a.txt" else line("id") + b"{broken") for name in NAMES))
    parts = [ArchivePart(number, count) for number in range(count)]
    names: dict[ArchivePart, list[str]] = {}
    for part in parts:
        items = list(read_items(io.BytesIO(content), "x", ReadOptions(), part))
        derived = [i.doc_id for _, i in items if not isinstance(i, Deletion) and i.doc_id.startswith("x")]
        names[part] = [key for key, _ in items] + derived
        assert all(isinstance(item, Rejection) or item.doc_id in ("id", "x!a.txt") for _, item in items)
    everything = [name for part in parts for name in names[part]]
    assert len(set(everything)) == len(everything) == 3 * len(NAMES) - 1
    for part in parts:
        own = [name for name in everything if part.owns_id(name.encode("utf-8", "replace").decode(), "x")]
        assert [name for name in own if name.isascii()] == [name for name in names[part] if name.isascii()]
