"""Finding the files of inputs, on disk and on a real S3 server."""

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


def test_folders_files_and_globs_give_each_shard_once_in_order_of_base_name(tmp_path: Path):
    for name in ("b/pubmed2.xml.gz", "a/pubmed3.xml.gz", "c/pubmed1.xml.gz", "a/pubmed3.xml.gz.md5", "a/.hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path), f"{tmp_path}/*/*.gz", f"{tmp_path}/a/pubmed3.xml.gz"], is_shard_name)
    assert [Path(name).name for name in names(listing)] == ["pubmed1.xml.gz", "pubmed2.xml.gz", "pubmed3.xml.gz"]
    assert list(listing.passed_over) == [f"{tmp_path}/a/.hidden.txt", f"{tmp_path}/a/pubmed3.xml.gz.md5"]
    assert listing.shards()[0].size == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("given", ["", "/*/*.txt", "/**/*.txt"])
def test_a_folder_that_cannot_be_listed_is_an_error_where_all_files_must_be_seen(given: str):
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("a.txt", "open/b.txt", "closed/c.txt"):
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        os.chmod(Path(folder, "closed"), 0o700)
        os.seteuid(65534)
        try:
            assert list_shards(LOCAL, [folder + given], is_shard_name).shards()
            with pytest.raises(SettingsError, match="access is denied"):
                list_shards(LOCAL, [folder + given], is_shard_name, complete=True)
            assert list_shards(LOCAL, [f"{folder}/*.txt"], is_shard_name, complete=True), "which needs no other folder"
        finally:
            os.seteuid(0)


def test_the_path_of_a_shard_begins_with_the_folder_of_its_input(tmp_path: Path):
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


def test_an_output_within_the_input_is_no_input(tmp_path: Path):
    for name in ("in.parquet", "out/documents/a.parquet", "out/documents/_delta_log/0.json", "_old/b.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name, f"{tmp_path}/out")
    assert names(listing) == [f"{tmp_path}/in.parquet"]
    assert list(listing.passed_over) == [f"{tmp_path}/_old/b.parquet"]


def test_a_file_whose_name_is_not_utf_8_is_passed_over_and_named(tmp_path: Path):
    (tmp_path / "good.txt").write_text("x")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb"):
        pass
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name)
    assert names(listing) == [f"{tmp_path}/good.txt"]
    assert list(listing.passed_over) == [f"{tmp_path}/caf\\udce9.txt"]


def test_files_that_are_passed_over_take_little_more_memory_than_their_names(tmp_path: Path):
    files = 3_000
    for number in range(files):
        (tmp_path / f"{number}.pdf").touch()
    (tmp_path / "a.txt").touch()
    list_shards(LOCAL, [str(tmp_path / "a.txt")], is_shard_name)
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    listing = list_shards(LOCAL, [f"{tmp_path}/", str(tmp_path)], is_shard_name)
    held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    assert list(listing.passed_over) == sorted(f"{tmp_path}/{number}.pdf" for number in range(files))
    assert [listing.passed_over[0], *listing.passed_over[-2:]] == [
        f"{tmp_path}/{name}.pdf" for name in ("0", "998", "999")
    ]
    assert held / files < len(listing.passed_over[-1]) + 40


def test_a_file_named_outright_is_input_whatever_its_name(tmp_path: Path):
    (tmp_path / "x.data").write_text("x")
    assert names(list_shards(LOCAL, [f"{tmp_path}/x.data"], is_shard_name)) == [f"{tmp_path}/x.data"]


@pytest.mark.parametrize("given", ["nowhere", "*.xml", "folder"])
def test_an_input_without_files_is_a_bad_setting(given, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError):
        list_shards(LOCAL, [f"{tmp_path}/{given}"], is_shard_name)


def test_an_s3_folder_is_listed_and_fetched(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    storage = Storage(S3Settings())
    prefix = s3_server.fresh_prefix()
    for name in ("a.txt", "b.xml.gz", "c.md5"):
        storage.write_bytes(f"{prefix}/{name}", name.encode())
    listing = list_shards(storage, [prefix], is_shard_name)
    assert names(listing) == [f"{prefix}/a.txt", f"{prefix}/b.xml.gz"]
    assert list(listing.passed_over) == [f"{prefix}/c.md5"]
    assert (storage.fetch(prefix) / "a.txt").read_text() == "a.txt"


TREE = ("a.txt", "b.txt", ".c.txt", "a/a.txt", "a/b.xml", "a/b/c.txt", "a/b/a/b.txt", "b/a/_c.txt", "b/ab/a.xml")


def matched_at_once(filesystem: AbstractFileSystem, glob: str) -> set[str]:
    """The files that fsspec finds for a glob, also below folders."""
    found: set[str] = set()
    for path, info in filesystem.glob(glob, detail=True).items():
        found.update(filesystem.find(path) if info["type"] == "directory" else [path])
    return found


def matched(storage: Storage, glob: str) -> set[str]:
    try:
        listing = list_shards(storage, [glob], lambda name: name.endswith(".txt"))
    except SettingsError as error:
        return set(str(error).partition("known kind: ")[2].split(", ")) - {""}
    return {*names(listing), *listing.passed_over}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in TREE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


segments = st.sampled_from(["*", "**", "a*", "?", "[ab]", "[!a]*", "b", "*.txt", "*b*", ".*"])


@for_all(st.lists(segments, min_size=1, max_size=4).filter(lambda glob: set(glob) != {"b"}))
def test_a_glob_stands_for_the_files_that_fsspec_finds(tree: Path, glob: list[str]):
    pattern = "/".join((str(tree), *glob))
    assert matched(LOCAL, pattern) == matched_at_once(LocalFileSystem(), pattern)


def test_a_glob_lists_no_more_of_a_bucket_than_it_may_match(
    s3_server: S3Server, on_s3: str, monkeypatch: pytest.MonkeyPatch
):
    client = s3_server.filesystem()
    client.pipe({f"{on_s3}/{name}": name.encode() for name in TREE})
    storage = Storage(S3Settings())
    for glob in ("*.txt", "*", "a*", "**", "*/a*", "[ab]/*/a.xml", "**/a.*", "?/**/a/*", "b/*/a*"):
        found = {f"s3://{path}" for path in matched_at_once(client, f"{on_s3}/{glob}")}
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
