"""One table: commits of other runs, lost responses, and what a vacuum may remove."""

import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.schema import DOCUMENTS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.delta import NumberedTable, TakenOverError
from craft_ray.tables.files import add_action
from craft_ray.tables.numbers import next_number
from craft_ray.tables.version import new_properties
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, commit, document_rows, numbered_document, rows
from tests.support.s3_server import S3Server


def opened(output: Path) -> NumberedTable:
    return NumberedTable(STORAGE, str(output), "documents", DOCUMENTS, properties=new_properties())


def test_commit_with_lost_response_is_not_repeated(tmp_path: Path):
    table = opened(tmp_path)
    table.fence()
    (file,) = block(tmp_path, ("a", "mouse")).documents

    def unacknowledged(properties: CommitProperties) -> None:
        opened(tmp_path).delta.create_write_transaction(
            [add_action(file, 0)], "append", table.delta.schema(), commit_properties=properties
        )
        raise CommitFailedError("412: the precondition does not hold")

    table.commit(unacknowledged, 1)
    table.commit_files(block(tmp_path, ("b", "rat")).documents, 2)
    assert [name for name, *_ in rows(tmp_path, "documents")] == ["a", "b"]


def test_failed_commit_says_why(tmp_path: Path):
    def failing(properties: CommitProperties) -> None:
        raise OSError("disk full")

    with pytest.raises(RunError, match=r"cannot write the tables .*disk full"):
        opened(tmp_path).commit(failing, 1)


def test_takeover_right_after_a_commit(tmp_path: Path):
    """The handle reads both commits at once, and must not take the later one for its own."""
    table = opened(tmp_path)
    (file,) = block(tmp_path, ("a", "mouse")).documents

    def overtaken(properties: CommitProperties) -> None:
        table.delta.create_write_transaction(
            [add_action(file, 0)], "append", table.delta.schema(), commit_properties=properties
        )
        opened(tmp_path).fence()

    table.commit(overtaken, 1, always=True)
    with pytest.raises(TakenOverError):
        table.commit_files((), 2)


def test_commits_of_other_programs_keep_the_numbers(tmp_path: Path):
    table = opened(tmp_path)
    table.commit_files(block(tmp_path, ("a", "mouse")).documents, 7)
    DeltaTable(str(tmp_path / "documents")).alter.set_table_properties({"delta.appendOnly": "false"})
    table = opened(tmp_path)
    assert table.pair == 7
    table.commit_files(block(tmp_path, ("b", "rat")).documents, 8)
    assert opened(tmp_path).pair == 8


def test_files_are_compressed_with_zstd(tmp_path: Path):
    table = opened(tmp_path)
    for name in "ab":
        table.commit_files(block(tmp_path, (name, "mouse")).documents, table.pair)
    written = pa.Table.from_pylist([{"doc_id": "c"}], schema=DOCUMENTS)
    table.append(written, 2)
    for uri in table.delta.file_uris():
        assert pq.ParquetFile(uri).metadata.row_group(0).column(0).compression == "ZSTD"


def test_compaction_is_logged_without_data_change(tables: Tables, tmp_path: Path):
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    pair = tables.documents.pair
    tables.compact()
    assert tables.documents.pair == pair
    log = tmp_path / "documents" / "_delta_log" / f"{tables.documents.version:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    told = [(kind, action[kind]["dataChange"]) for action in actions for kind in ("add", "remove") if kind in action]
    assert sorted(told) == [("add", False), ("remove", False), ("remove", False)]


def test_vacuum_ignores_kept_versions_without_log(tmp_path: Path):
    table = opened(tmp_path)
    table.fence()
    table.commit_files(block(tmp_path, ("a", "mouse")).documents, 1)
    table.delta.create_checkpoint()
    for version in range(2):
        (tmp_path / "documents" / "_delta_log" / f"{version:020}.json").unlink()
    table = opened(tmp_path)
    table.vacuum("", [0, table.version])
    assert rows(tmp_path, "documents") == [("a", "annotated", 1)]


def test_other_table_is_refused(tmp_path: Path):
    DeltaTable.create(str(tmp_path / "documents"), pa.schema([("x", pa.string())]))
    with pytest.raises(SettingsError, match="a table of another kind"):
        opened(tmp_path)


def test_endpoint_from_settings(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for name, value in s3_server.environment.items():
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, value)
    storage = Storage(S3Settings(endpoint_url=s3_server.endpoint), patience=0)
    output = s3_server.fresh_prefix()
    for number in (1, 2):
        commit(output, [numbered_document(number)], storage=storage)
    tables = Tables(storage, output)
    whole = tables.entities.count()
    tables.entities.commit_files((), next_number(tables.documents.pair))
    tables = Tables(storage, output)
    assert (tables.entities.pair, tables.entities.count()) == (tables.documents.pair, whole)
    tables.documents.overwrite(tables.documents.read().slice(0, 1), tables.documents.pair)
    tables.documents.vacuum("unnamed", [tables.documents.version - 1])
    options = s3_server.environment | {"AWS_ALLOW_HTTP": "true"}
    assert len(document_rows(output, options)) == 1
    kept = DeltaTable(f"{output}/documents", version=tables.documents.version - 2, storage_options=options)
    assert kept.to_pyarrow_table().num_rows == 2
    assert "is not kept" not in caplog.text


def test_numbers_rise():
    numbers = [0]
    while len(numbers) < 100:
        numbers.append(next_number(numbers[-1]))
    assert all(before < after for before, after in pairwise(numbers))
    assert numbers[-1] < 2**32


def test_numbers_are_unique():
    assert len({next_number(7) for _ in range(20)}) >= 19
