"""The command `ground` on S3 and with Ray tasks; and `diff` after a changed ontology."""

import json
import shutil
from pathlib import Path

import pytest

from craft_ray.annotation import ground as module
from craft_ray.annotation.ground import ground
from craft_ray.core.settings import S3Settings, Settings
from craft_ray.storage.storage import Storage
from tests.support.ontologies import OBO, obo_file
from tests.support.outputs import assert_consistent, commit, commit_blocks, document_rows, numbered_document, table

pytestmark = pytest.mark.integration

NEWER = OBO.replace("NCBITaxon:4932", "NCBITaxon:559292").replace('"yeast" RELATED', '"yeast" EXACT')
"""A version in which yeast has another id."""


def ids(output: Path | str, options: dict[str, str] | None = None) -> set[tuple[str, str | None]]:
    rows = table(output, "entities", options).to_pylist()
    return {(row["mention"], row["concept_id"]) for row in rows}


def contents(output: Path) -> list[tuple[object, ...]]:
    rows = table(output, "entities").drop_columns(["run_id", "block_id", "concept_candidates"]).to_pylist()
    tables = [sorted(tuple(row.values()) for row in table(output, n).to_pylist()) for n in ("concepts", "ancestors")]
    return [sorted(map(str, rows)), *tables, document_rows(output)]


def test_ground_on_s3_and_diff(on_s3: str, command, tmp_path: Path):
    storage = Storage(S3Settings())
    output = f"{on_s3}/tables"
    commit(output, [numbered_document(number) for number in range(30)], storage=storage)
    options = storage.delta_options(output)
    yeasts = sum(row["mention"] == "yeast" for row in table(output, "entities", options).to_pylist())
    for text, name, concept in ((OBO, "older.obo", "4932"), (NEWER, "newer.obo.gz", "559292")):
        ontology = f"{on_s3}/{name}"
        storage.write_bytes(ontology, Path(obo_file(tmp_path, text, name)).read_bytes())
        done = command("ground", output, "--ontology", ontology, "--keep-versions", "2")
        assert done.code == 0, done.stderr
        assert ("yeast", f"NCBITaxon:{concept}") in ids(output, options)
    assert {("yeast", "NCBITaxon:559292"), ("Pax6", "PR:000012318")} <= ids(output, options)
    told = json.loads(command("diff", output, "--json").stdout)
    changed = {row["concept_id"]: row["change"] for moved in told["concepts"].values() for row in moved}
    assert changed["NCBITaxon:559292"] == yeasts
    assert changed["NCBITaxon:4932"] == -yeasts
    assert all(entities["before"] == entities["after"] for entities in told["entities"].values())


def test_large_tables_use_ray_tasks(local_ray: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    one, several = tmp_path / "one", tmp_path / "several"
    documents = [numbered_document(number) for number in range(30)]
    commit_blocks(one, [documents[at : at + 5] for at in range(0, 30, 5)])
    shutil.copytree(one, several)
    settings = Settings(ontology=(obo_file(tmp_path, NEWER),))
    ground(str(one), settings)
    monkeypatch.setattr(module, "PART_ROWS", 40)
    tasks: list[int] = []
    run_tasks = module.run_tasks
    monkeypatch.setattr(module, "run_tasks", lambda parts: tasks.append(len(parts)) or run_tasks(parts))
    ground(str(several), settings)
    assert tasks[0] >= module.RAY_FROM
    assert contents(several) == contents(one)
    assert_consistent(several)
