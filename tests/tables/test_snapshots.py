import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from craft_ray.tables.compaction import compact
from tests.support.outputs import STORAGE, commit, numbered_document, open_tables


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for at in (20, 0, 10):
        commit(tmp_path, [numbered_document(number) for number in range(at, at + 10)])
    return tmp_path


def rows(table: pa.Table) -> list[tuple]:
    return sorted(tuple(row.values()) for row in table.to_pylist())


@pytest.mark.parametrize("partition_by", [["label"], ["label", "year"]])
@pytest.mark.parametrize(
    "where",
    [
        ds.scalar(True),
        ds.field("label") == "Taxon",
        (ds.field("doc_id") >= "PMID:000012") & (ds.field("doc_id") < "PMID:000023") & (ds.field("start") > 6),
        ds.field("doc_id") == "PMID:none",
    ],
)
def test_stream_has_the_rows_of_a_scan(output: Path, partition_by: list[str], where: ds.Expression):
    compact(STORAGE, str(output), partition_by)
    entities = open_tables(output).entities
    columns = ["start", "label", "doc_id", "mention", *partition_by[1:]]
    stream = entities.stream(columns, where, 7)
    assert stream.schema.names == columns
    assert rows(stream.read_all()) == rows(entities.to_arrow(columns, where))


def test_stream_skips_files_without_a_match(output: Path):
    documents = open_tables(output).documents
    (other,) = [
        path for path in documents.rows if "000020" in str(ds.dataset(output / "documents" / path).head(1)["doc_id"])
    ]
    (output / "documents" / other).unlink()
    found = documents.stream(["doc_id"], ds.field("doc_id") == "PMID:000015", 100).read_all()
    assert rows(found) == [("PMID:000015",)]


def test_rows_are_counted_from_the_log(output: Path):
    before = open_tables(output)
    labels = before.entities.to_arrow(["label"])["label"].to_pylist()
    commit(output, [numbered_document(40)])
    after = open_tables(output)
    shutil.rmtree(output / "entities" / "label=Taxon")
    assert before.entities.rows_by_label() == Counter(labels)
    assert (len(before.documents), len(after.documents)) == (30, 31)
    assert (after.documents.rows_not_in(before.documents), before.documents.rows_not_in(after.documents)) == (1, 0)
