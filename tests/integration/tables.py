"""Reading an output back, apart from the code under test."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

VARYING = ("run_id", "block_id")
"""Columns that tell runs apart."""


def table(output: str | Path, name: str, options: dict[str, str] | None = None) -> pa.Table:
    return DeltaTable(f"{output}/{name}", storage_options=options).to_pyarrow_table()


def entity_rows(output: str | Path, options: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    """All entity rows in a fixed order, scores to four digits."""
    rows = table(output, "entities", options).drop_columns(list(VARYING))
    rows = rows.set_column(rows.schema.get_field_index("score"), "score", pc.round(rows["score"], 4))
    return sorted(tuple(row.values()) for row in rows.to_pylist())


def document_rows(
    output: str | Path, options: dict[str, str] | None = None, without: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    rows = table(output, "documents", options).drop_columns([*VARYING, *without]).to_pylist()
    return sorted(rows, key=lambda row: row["doc_id"])


def close(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], tolerance: float = 2e-4) -> bool:
    """Whether entity rows are equal, scores within the tolerance of fp32 sums taken in another order."""
    return len(first) == len(second) and all(
        all(abs(a - b) <= tolerance if isinstance(a, float) else a == b for a, b in zip(one, other, strict=True))
        for one, other in zip(first, second, strict=True)
    )


def assert_consistent(output: str | Path, options: dict[str, str] | None = None) -> Counter[str]:
    """What must hold of any output at rest: unique ids, offsets that reproduce the text, counts that agree."""
    documents = table(output, "documents", options)
    assert len(set(documents["doc_id"].to_pylist())) == documents.num_rows
    texts = dict(zip(documents["doc_id"].to_pylist(), documents["text"].to_pylist(), strict=True))
    counted: Counter[str] = Counter()
    for row in table(output, "entities", options).to_pylist():
        text = texts[row["doc_id"]]
        assert text[row["start"] : row["end"]] == row["mention"]
        assert row["sentence_start"] <= row["start"] < row["end"] <= row["sentence_end"]
        counted[row["doc_id"]] += 1
    for row in documents.select(["doc_id", "n_entities"]).to_pylist():
        assert counted[row["doc_id"]] == row["n_entities"]
    for name in ("entities", "documents", "shards"):
        if options is None:
            snapshot = {Path(uri).name for uri in DeltaTable(f"{output}/{name}").file_uris()}
            assert {path.name for path in Path(output, name).rglob("*.parquet")} == snapshot
    return Counter(documents["status"].to_pylist())
