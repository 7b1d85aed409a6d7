"""An archive read in parts gives what it gives read whole, whatever is wrong with it."""

import gzip
import io
from collections import Counter

import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Deletion
from craft_ray.readers import ArchivePart, ReadOptions, limits, read_items
from craft_ray.readers.archives import decompress, is_tar, peek
from tests.support.hostile.corpus import cases
from tests.support.hostile.making import GOOD, line, tar

ARCHIVES = [case for case in cases() if ".tar" in case.name]
MANY = tar(*((f"folder/{number}.jsonl", line(f"a{number}") + line(f"b{number}") + b"?\n") for number in range(20)))


def found(content: bytes, part: ArchivePart | None = None) -> tuple[Counter[tuple[str, str]], str | None]:
    """The number of times that each item comes, by its name and all that it holds, and the error at the end."""
    items: Counter[tuple[str, str]] = Counter()
    try:
        items.update((key, repr(item)) for key, item in read_items(io.BytesIO(content), "x", ReadOptions(), part))
    except ShardError as error:
        return items, str(error)
    return items, None


def assert_parts_are_the_whole(content: bytes) -> None:
    whole, error = found(content)
    is_archive = is_tar(peek(decompress(io.BytesIO(content)))) if content else False
    for count in range(1, 5):
        together: Counter[tuple[str, str]] = Counter()
        for number in range(count):
            items, ending = found(content, ArchivePart(number, count))
            assert ending == (error if number == 0 or is_archive else None)
            together += items
        assert together == whole


@pytest.mark.parametrize("case", ARCHIVES, ids=lambda case: case.name)
def test_parts_of_a_hostile_archive_are_the_whole_and_end_with_the_same_error(case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 15 << 20)
    assert_parts_are_the_whole(case.make())


@pytest.mark.parametrize("packed", [False, True])
def test_parts_of_an_archive_that_ends_anywhere_are_the_whole(packed: bool):
    content = gzip.compress(MANY, 1, mtime=0) if packed else MANY
    for length in range(1000, len(content), len(content) // 25):
        assert_parts_are_the_whole(content[:length])


def test_parts_share_the_files_of_an_archive():
    for count in (2, 3, 4):
        sizes = [len(found(MANY, ArchivePart(number, count))[0]) // 3 for number in range(count)]
        assert sum(sizes) == 20
        assert min(sizes) >= 2


def test_a_file_that_is_no_archive_is_in_the_first_part():
    for content in GOOD["jsonl"], GOOD["pubmed"], gzip.compress(GOOD["jsonl"], mtime=0):
        assert found(content, ArchivePart(0, 2)) == found(content)
        assert found(content, ArchivePart(1, 2)) == (Counter(), None)


LONG = "n" * 700 + ".jsonl"
NAMES = ["a.txt", "a.jsonl", "a#b.jsonl", "#.jsonl", "caf\udce9.jsonl", LONG, "n" * 700 + "2.jsonl", "!.jsonl"]


def places(content: bytes, part: ArchivePart) -> list[str]:
    """All ids that name places in what a part gives, and the names that its items have where they have no id."""
    names: list[str] = []
    for key, item in read_items(io.BytesIO(content), "x", ReadOptions(), part):
        names.append(key)
        if not isinstance(item, Deletion) and item.doc_id.startswith("x"):
            names.append(item.doc_id)
    return names


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_place_in_an_archive_is_named_by_one_part_and_known_for_its_own(count: int):
    content = tar(*((name, b"Pax6" if name == "a.txt" else line("id") + b"{broken") for name in NAMES))
    parts = [ArchivePart(number, count) for number in range(count)]
    given = {part: places(content, part) for part in parts}
    everything = [place for part in parts for place in given[part]]
    assert len(set(everything)) == len(everything) > 3 * len(NAMES) - 4
    for part in parts:
        own = [place for place in everything if part.owns_id(place.encode("utf-8", "replace").decode(), "x")]
        readable = [place for place in given[part] if place.isascii()]
        assert [place for place in own if place.isascii()] == readable


def test_what_names_no_file_of_an_archive_is_the_first_parts():
    for doc_id in ("x#unreadable", "x#item-3", "other"):
        assert [number for number in range(4) if ArchivePart(number, 4).owns_id(doc_id, "x")] == [0]


def test_files_of_one_name_are_in_one_part_and_their_items_have_names_of_their_own():
    content = tar(("a.txt", b"Mice."), ("a.txt", b"Mice."), ("b.txt", b"Mice."))
    for count in (1, 2, 3, 4):
        given = [list(found(content, ArchivePart(number, count))[0]) for number in range(count)]
        (holding,) = [items for items in given if any("a.txt" in name for name, _ in items)]
        assert [name for name, _ in holding if "a.txt" in name] == ["x!a.txt#item-0.0", "x!a.txt#item-1.0"]
