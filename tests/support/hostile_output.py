"""An output whose texts, titles, ids and paths are hostile to a page, a terminal or a query."""

from pathlib import Path

from craft_ray.annotation.account import Account, summarize
from craft_ray.storage.storage import Storage
from craft_ray.tables.records import RunRecord
from tests.support.outputs import STORAGE, document, write_tables

HOSTILE = '</title></style><script>window.ran=1</script>"><img src=x onerror=window.ran=1>\u202egnp.exe\x1b[31m\x00'
"""Tags, end tags, the end of an attribute, a right-to-left override, an escape sequence and a null byte."""


def write_hostile_output(output: Path | str, storage: Storage = STORAGE) -> None:
    """Write tables of two good documents, an empty, a rejected and a deleted one, and a broken shard."""
    rows = [
        document("PMID:1", "Pax6 in the mouse.", ("Protein", "Pax6"), ("Taxon", "mouse"), title="Eyes", year=2020),
        document("PMID:2", f"PAX6 and {HOSTILE}", ("Protein", "PAX6"), ("Protein", HOSTILE), title=HOSTILE, year=2023),
        document("PMID:3", "Nothing."),
    ]
    rejected = {"status": "rejected", "n_entities": 0, "n_tokens": 0, "detail": HOSTILE, "shard": f"/in/{HOSTILE}.xml"}
    others = [
        rejected | {"doc_id": "bad", "reason": "bad_xml"},
        rejected | {"doc_id": f"/in/{HOSTILE}.xml#unreadable", "reason": "bad_gzip"},
        {"doc_id": "PMID:4", "status": "deleted", "n_entities": 0, "n_tokens": 0},
    ]
    concepts = {"pax6": ("PR:1", "Pax-6"), "mouse": ("NCBITaxon:10090", "Mus musculus"), HOSTILE: ("PR:2", HOSTILE)}
    entities = [entity | {"section": HOSTILE, "score": 0.93} for _, found in rows for entity in found]
    for entity in entities:
        mention = entity["mention"]
        entity["concept_id"], entity["concept_name"] = concepts[mention if mention == HOSTILE else mention.lower()]
    write_tables(output, [*(row for row, _ in rows), *others], entities, storage)
    account = Account()
    account.committed.statuses.update(annotated=3, rejected=2, deleted=1)
    timeline = account.timeline
    timeline.reached("ray_ready", timeline.started + 1.5)
    account.tokens = 60
    timeline.commits += [(timeline.started + 2, 3, 30), (timeline.started + 4, 6, 60)]
    record = RunRecord(
        storage,
        str(output),
        "20260101T000000-aaaa",
        inputs=[HOSTILE],
        model={"source": "embedded", "fingerprint": "f" * 64},
        settings={"model": HOSTILE, "replicas": None},
    )
    record.close("partly_rejected", summarize(account), timeline.progress(), {"documents": 1})
