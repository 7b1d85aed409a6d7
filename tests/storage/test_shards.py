"""Finding shards, on disk and on a real S3 server."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.readers import is_shard_name
from craft_ray.storage.shards import FILES, Listing, in_columns, list_shards, path_at
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
    assert listing.passed_over == [f"{tmp_path}/a/.hidden.txt", f"{tmp_path}/a/pubmed3.xml.gz.md5"]
    assert listing.shards()[0].size == 1


def rank(name: str) -> tuple[str, str]:
    return name.rpartition("/")[2], name


names_of_files = st.text("ab./é𝛽\uffff\n -", min_size=1, max_size=6)


@for_all(st.lists(st.tuples(names_of_files, st.integers(0, 9)), min_size=1, max_size=12))
def test_listed_files_come_once_in_order_of_base_name_and_path_and_the_last_counts(files: list[tuple[str, int]]):
    listed = in_columns((name, size, str(size), path_at(name), "") for name, size in files)
    found = list_shards(LOCAL, [], is_shard_name, listed=listed)
    assert [(shard.name, shard.size) for shard in found.shards()] == sorted(
        dict(files).items(), key=lambda file: rank(file[0])
    )


@for_all(st.sets(names_of_files), st.lists(names_of_files))
def test_names_are_found_at_their_places(files: set[str], wanted: list[str]):
    there = sorted(files, key=rank)
    listing = Listing(in_columns((name, 0, "", 0, "") for name in there), [])
    places = listing.places.of(pa.chunked_array([wanted, sorted(files), [None]], pa.string())).tolist()
    assert places == [there.index(name) if name in files else -1 for name in [*wanted, *sorted(files), None]]
    assert [name in listing.places for name in wanted] == [name in files for name in wanted]
    assert [shard.name for shard in listing.shards(listing.places.of(pa.array(there, pa.string())))] == there


def test_a_listing_takes_little_more_memory_than_its_strings():
    files = 10_000
    rows = ((f"s3://bucket/folder-{n % 7}/PMC{n}.xml", n, f"{n:032x}", 12, "") for n in range(files))
    before = pa.total_allocated_bytes()
    listing = list_shards(LOCAL, [], is_shard_name, listed=in_columns(rows))
    strings = sum(len(shard.name) + len(shard.tag) for shard in listing.shards()) / files
    assert listing.files.schema == FILES
    assert (pa.total_allocated_bytes() - before) / files < strings + 40


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("given", ["", "/*.txt", "/*/*.txt"])
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
    assert listing.passed_over == [f"{tmp_path}/_old/b.parquet"]


def test_a_file_whose_name_is_not_utf_8_is_passed_over_and_named(tmp_path: Path):
    (tmp_path / "good.txt").write_text("x")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb"):
        pass
    listing = list_shards(LOCAL, [str(tmp_path)], is_shard_name)
    assert names(listing) == [f"{tmp_path}/good.txt"]
    assert listing.passed_over == [f"{tmp_path}/caf\\udce9.txt"]


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
    assert listing.passed_over == [f"{prefix}/c.md5"]
    assert (storage.fetch(prefix) / "a.txt").read_text() == "a.txt"
