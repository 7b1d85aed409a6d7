"""Whole runs: real articles, replicas, S3, another model."""

import hashlib
import shutil
from pathlib import Path

import pytest

import craft_ray
from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS
from tests.conftest import SAMPLE
from tests.support.commands import run_command
from tests.support.outputs import assert_consistent, close, document_rows, entity_rows, table
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def real_inputs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs") / "in"
    for name in ("pubmed", "jats", "craft/jats"):
        shutil.copytree(data / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    local_ray: None, real_inputs: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tables of all real inputs by the random checkpoint, from one replica."""
    output = tmp_path_factory.mktemp("undisturbed")
    craft_ray.annotate(str(real_inputs), str(output), model=str(tiny_checkpoint), replicas=1)
    return output


@pytest.mark.long
def test_real_articles(local_ray: None, real_inputs: Path, tmp_path: Path):
    """67 articles of CRAFT, 65 documents and 6 deletions of PubMed and PMC, by the embedded model."""
    output = tmp_path / "out"
    summary = craft_ray.annotate(str(real_inputs), str(output))
    assert summary["adds_up"]
    assert assert_consistent(output) == {"annotated": 132, "deleted": 6}
    labels = summary["entities"]
    assert sum(labels.values()) == len(entity_rows(output)) > 600 * 67
    assert set(labels) == {label.name for label in LABELS}


@pytest.mark.long
def test_replicas_and_shard_order_change_no_row(
    local_ray: None, real_inputs: Path, undisturbed: Path, tiny_checkpoint: Path, tmp_path: Path
):
    """Shards are read in the order of their names, so renamed copies come in another order and other groups."""
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for file in (path for path in real_inputs.rglob("*") if path.is_file()):
        shutil.copy(file, shuffled / f"{hashlib.md5(file.name.encode()).hexdigest()}-{file.name}")
    craft_ray.annotate(str(shuffled), str(tmp_path / "out"), model=str(tiny_checkpoint), replicas=2)
    assert close(entity_rows(tmp_path / "out"), entity_rows(undisturbed))
    assert document_rows(tmp_path / "out", without=("shard",)) == document_rows(undisturbed, without=("shard",))
    assert_consistent(tmp_path / "out")


@pytest.mark.long
def test_s3_and_disk_give_the_same_tables(
    s3_server: S3Server, real_inputs: Path, undisturbed: Path, tiny_checkpoint: Path, tmp_path: Path
):
    prefix, filesystem = s3_server.fresh_prefix(), s3_server.filesystem()
    for folder in ("craft", "pubmed", "jats"):
        filesystem.put(str(real_inputs / folder), f"{prefix}/in/{folder}", recursive=True)
    filesystem.put(f"{tiny_checkpoint}/", f"{prefix}/model/", recursive=True)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"model: {prefix}/model\ns3:\n  endpoint_url: {s3_server.endpoint}\n")
    inputs = [f"{prefix}/in/craft", f"{prefix}/in/pubmed/*/*.xml.gz", f"{prefix}/in/jats"]
    environment = {name: value for name, value in s3_server.environment.items() if name != "AWS_ENDPOINT_URL"}
    done = run_command(
        "annotate", *inputs, "--output", f"{prefix}/out", "--settings", settings, "--json", environment=environment
    )
    assert done.code == 0, done.stderr
    assert done.summary is not None
    assert done.summary["documents"]["found"] == 138
    options = s3_server.environment | {"AWS_ALLOW_HTTP": "true"}
    assert close(entity_rows(f"{prefix}/out", options), entity_rows(undisturbed))
    assert document_rows(f"{prefix}/out", options, without=("shard",)) == document_rows(undisturbed, without=("shard",))
    assert_consistent(f"{prefix}/out", options)


def test_replacing_the_model_needs_consent(local_ray: None, tiny_checkpoint: Path, tmp_path: Path):
    craft_ray.annotate(str(SAMPLE), str(tmp_path), model="stand-in", keep_text=False)
    assert set(table(tmp_path, "documents")["text"].to_pylist()) == {None}
    before = entity_rows(tmp_path)
    with pytest.raises(SettingsError, match=r"the 4 documents of .* another model .* --replace-model"):
        craft_ray.annotate(str(SAMPLE), str(tmp_path), model=str(tiny_checkpoint))
    assert entity_rows(tmp_path) == before
    summary = craft_ray.annotate(str(SAMPLE), str(tmp_path), model=str(tiny_checkpoint), replace_model=True)
    assert summary["documents"]["annotated"] == 3
    assert entity_rows(tmp_path) != before
    assert_consistent(tmp_path)
