from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from craft_ray.report.changes import KINDS, compare
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, open_tables

Documents = dict[str, tuple[str, str]]
"""Status and text by id."""


RUN = "20260101T000000-00000000"


def write(tables: Tables, output: Path, documents: Documents, shard: int) -> None:
    blocks = [
        block(output, (doc_id, text), status=status, shard=shard, run_id=RUN)
        for doc_id, (status, text) in documents.items()
    ]
    tables.replace(blocks, [all_of(b) for b in blocks])


def stored(output: Path, versions: dict[str, int]) -> tuple[dict[str, tuple], Counter]:
    """Documents by id, and entities counted by id, label and mention, of one state."""
    documents, entities = (
        DeltaTable(str(output / name), version=versions[name]).to_pyarrow_table().to_pylist()
        for name in ("documents", "entities")
    )
    return (
        {row["doc_id"]: (row["status"], row["content_hash"]) for row in documents},
        Counter((row["doc_id"], row["label"], row["mention"]) for row in entities),
    )


def kind(before: tuple[str, str] | None, after: tuple[str, str] | None) -> str | None:
    was, now = before and before[0], after and after[0]
    if before == after or (was == now == "deleted") or (was == now == "rejected"):
        return None
    if now == "annotated":
        return {None: "added", "annotated": "revised"}.get(was, "mended")
    return {None: "deleted_unseen"}.get(was, "deleted") if now == "deleted" else "rejected"


states = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.sampled_from(["annotated", "annotated", "rejected", "deleted"]), st.sampled_from(["mouse", "rat"])),
    min_size=1,
)


@given(first=states, second=states, third=states)
@settings(max_examples=8)
def test_changes_match_a_comparison_of_all_rows(first: Documents, second: Documents, third: Documents):
    with TemporaryDirectory() as folder:
        output = Path(folder)
        tables = Tables(STORAGE, str(output))
        write(tables, output, first, 0)
        tables.finish(compact=True)
        older = tables.versions()
        write(tables, output, second, 1)
        tables.finish(compact=True, kept=[older])
        write(tables, output, third, 2)
        tables.finish(compact=True, kept=[older])
        newer = tables.versions()

        changes = compare(open_tables(output, str(older["documents"])), open_tables(output))
        (documents, entities), (documents_now, entities_now) = stored(output, older), stored(output, newer)
        kinds = {
            doc_id: kind(documents.get(doc_id), documents_now.get(doc_id)) for doc_id in {*documents, *documents_now}
        }
        assert {name: changes["documents"][name] for name in KINDS} == {
            name: sum(found == name for found in kinds.values()) for name in KINDS
        }
        assert (changes["documents"]["before"], changes["documents"]["after"]) == (len(documents), len(documents_now))
        for name, ids in changes["documents"]["examples"].items():
            assert ids == sorted(doc_id for doc_id, found in kinds.items() if found == name)

        moved, causes = Counter(), Counter()
        for (doc_id, label, mention), n in [*entities_now.items(), *((k, -n) for k, n in entities.items())]:
            moved[label, mention] += n
            causes[label, kinds[doc_id]] += n
        named = changes["mentions"]["gained"] + changes["mentions"]["lost"]
        assert {(row["label"], row["mention"]): row["change"] for row in named} == {k: n for k, n in moved.items() if n}
        found = {(label, k): n for label, row in changes["entities"].items() for k, n in row["by_cause"].items()}
        assert found == {key: n for key, n in causes.items() if n}
        for row in changes["entities"].values():
            assert row["after"] - row["before"] == sum(row["by_cause"].values())


def test_files_of_kept_states_stay(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path), RUN)
    states = []
    for number, text in enumerate(("mouse", "rat", "worm", "fly")):
        write(tables, tmp_path, {"a": ("annotated", text)}, number)
        tables.finish(compact=True, kept=states[-2:])
        states.append(tables.versions())
    for name in ("documents", "entities"):
        kept = [DeltaTable(str(tmp_path / name), version=versions[name]).file_uris() for versions in states[1:]]
        assert {file.name for file in (tmp_path / name).rglob("*.parquet")} == {
            Path(uri).name for uris in kept for uri in uris
        }
        assert len({tuple(uris) for uris in kept}) == 3
