"""Listing of inputs, on disk and on a real S3 server."""

import os
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given as for_all
from hypothesis import strategies as st
from s3fs import S3FileSystem

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.readers import is_shard_name
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage
from tests.support.s3_server import S3Server

LOCAL = Storage(S3Settings())


def names(listing) -> list[str]:
    return [shard.name for shard in listing.shards()]


def test_files_are_unique_and_sorted_by_base_name(tmp_path: Path):
    for name in ("b/pubmed2.xml.gz", "a/pubmed3.xml.gz", "c/pubmed1.xml.gz", "a/pubmed3.xml.gz.md5", "a/.hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path), f"{tmp_path}/*/*.gz", f"{tmp_path}/a/pubmed3.xml.gz"], is_shard_name)
    assert [Path(name).name for name in names(listing)] == ["pubmed1.xml.gz", "pubmed2.xml.gz", "pubmed3.xml.gz"]
    assert listing.ignored_files.to_pylist() == [f"{tmp_path}/a/.hidden.txt", f"{tmp_path}/a/pubmed3.xml.gz.md5"]
    assert listing.shards()[0].size == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("given", ["", "/*/*.txt", "/**/*.txt"])
def test_unreadable_folder(given: str):
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("a.txt", "open/b.txt", "closed/c.txt"):
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        os.chmod(Path(folder, "closed"), 0o700)
        os.seteuid(65534)
        try:
            with pytest.raises(SettingsError, match="access is denied"):
                list_shards(LOCAL, [folder + given], is_shard_name)
            assert list_shards(LOCAL, [f"{folder}/*.txt"], is_shard_name), "needs no other folder"
        finally:
            os.seteuid(0)


def test_paths_start_at_the_folder_of_the_input(tmp_path: Path):
    file = tmp_path / "notes" / "2026" / "a.txt"
    file.parent.mkdir(parents=True)
    file.write_text("x")

    def path(given: str) -> str:
        (shard,) = list_shards(LOCAL, [f"{tmp_path}/{given}"], is_shard_name).shards()
        return shard.path

    for given in ("notes", "notes/*/a.txt", "notes/*", "notes/2*"):
        assert path(given) == "notes/2026/a.txt"
    for given in ("notes/2026", "notes/2026/a.txt", "notes/2026/*.txt", "notes/2026/[ab].txt"):
        assert path(given) == "2026/a.txt"
    both = [f"{tmp_path}/notes/2026", f"{tmp_path}/notes"]
    assert [shard.path for shard in list_shards(LOCAL, both, is_shard_name).shards()] == ["notes/2026/a.txt"]


def test_the_output_is_no_input(tmp_path: Path):
    for name in ("in.parquet", "out/documents/a.parquet", "out/documents/_delta_log/0.json", "_old/b.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name, f"{tmp_path}/out")
    assert names(listing) == [f"{tmp_path}/in.parquet"]
    assert listing.ignored_files.to_pylist() == [f"{tmp_path}/_old/b.parquet"]


def test_a_name_that_is_not_utf_8_is_ignored(tmp_path: Path):
    (tmp_path / "good.txt").write_text("x")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb"):
        pass
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name)
    assert names(listing) == [f"{tmp_path}/good.txt"]
    assert listing.ignored_files.to_pylist() == [f"{tmp_path}/caf\\udce9.txt"]


def test_memory_of_ignored_files(tmp_path: Path):
    files = 3_000
    for number in range(files):
        (tmp_path / f"{number}.pdf").touch()
    (tmp_path / "a.txt").touch()
    list_shards(LOCAL, [str(tmp_path / "a.txt")], is_shard_name)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    listing = list_shards(LOCAL, [f"{tmp_path}/", str(tmp_path)], is_shard_name)
    size = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    assert listing.ignored_files.to_pylist() == sorted(f"{tmp_path}/{number}.pdf" for number in range(files))
    assert size / files < len(f"{tmp_path}/1000.pdf") + 40


def test_a_file_named_by_itself_is_input(tmp_path: Path):
    (tmp_path / "x.data").write_text("x")
    assert names(list_shards(LOCAL, [f"{tmp_path}/x.data"], is_shard_name)) == [f"{tmp_path}/x.data"]


@pytest.mark.parametrize("given", ["nowhere", "*.xml", "folder"])
def test_input_without_files(given, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError):
        list_shards(LOCAL, [f"{tmp_path}/{given}"], is_shard_name)


def test_an_s3_folder_is_listed_and_fetched(on_s3: str):
    storage = Storage(S3Settings())
    for name in ("a.txt", "b.xml.gz", "c.md5"):
        storage.write_bytes(f"{on_s3}/{name}", name.encode())
    listing = list_shards(storage, [on_s3], is_shard_name)
    assert names(listing) == [f"{on_s3}/a.txt", f"{on_s3}/b.xml.gz"]
    assert listing.ignored_files.to_pylist() == [f"{on_s3}/c.md5"]
    assert (storage.fetch(on_s3) / "a.txt").read_text() == "a.txt"


TREE = ("a.txt", "b.txt", ".c.txt", "a/a.txt", "a/b.xml", "a/b/c.txt", "a/b/a/b.txt", "b/a/_c.txt", "b/ab/a.xml")


def matched_by_fsspec(filesystem: AbstractFileSystem, glob: str) -> set[str]:
    found: set[str] = set()
    for path, info in filesystem.glob(glob, detail=True).items():
        found.update(filesystem.find(path) if info["type"] == "directory" else [path])
    return found


def matched(storage: Storage, glob: str) -> set[str]:
    try:
        listing = list_shards(storage, [glob], lambda name: name.endswith(".txt"))
    except SettingsError as error:
        return set(str(error).partition("known kind: ")[2].split(", ")) - {""}
    return {*names(listing), *listing.ignored_files.to_pylist()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


segments = st.sampled_from(["*", "**", "a*", "?", "[ab]", "[!a]*", "b", "*.txt", "*b*", ".*"])


@for_all(st.lists(segments, min_size=1, max_size=4).filter(lambda glob: set(glob) != {"b"}))
def test_globs_match_as_in_fsspec(tree: Path, glob: list[str]):
    pattern = "/".join((str(tree), *glob))
    assert matched(LOCAL, pattern) == matched_by_fsspec(LocalFileSystem(), pattern)


def test_globs_list_only_folders_that_may_match(s3_server: S3Server, on_s3: str, monkeypatch: pytest.MonkeyPatch):
    client = s3_server.filesystem()
    client.pipe({f"{on_s3}/{name}": name.encode() for name in TREE})
    storage = Storage(S3Settings())
    for glob in ("*.txt", "*", "a*", "**", "*/a*", "[ab]/*/a.xml", "**/a.*", "?/**/a/*", "b/*/a*"):
        found = {f"s3://{path}" for path in matched_by_fsspec(client, f"{on_s3}/{glob}")}
        assert matched(storage, f"{on_s3}/{glob}") == found != set(), glob
    assert matched(storage, f"{on_s3}/x*") == set()
    listed: list[tuple[str, str]] = []
    call = S3FileSystem.call_s3

    def noted(self, method: str, *arguments, **more):
        listed.append((more["Prefix"].partition("/")[2], more["Delimiter"]))
        return call(self, method, *arguments, **more)

    monkeypatch.setattr(S3FileSystem, "call_s3", noted)
    matched(storage, f"{on_s3}/a*/b*")
    assert listed == [("a", "/"), ("a/b", "/"), ("a/b/", "")]
