"""The whole job on real articles: accounting, offsets, storage, replicas, order, revisions."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

import craft_ray
from craft_ray.core.errors import SettingsError
from tests.conftest import SAMPLE
from tests.support.commands import run_command
from tests.support.outputs import assert_consistent, close, document_rows, entity_rows, table
from tests.support.pubmed import citation, deletion, pubmed_file
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def real_inputs(data: Path, tmp_path_factory, request) -> Path:
    """A folder of all real inputs; in the short form with every eighth article of CRAFT."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    for name in ("pubmed", "jats"):
        shutil.copytree(data / name, folder / name)
    (folder / "craft").mkdir()
    for article in sorted((data / "craft/jats").iterdir())[:: 1 if request.config.getoption("long") else 8]:
        shutil.copy(article, folder / "craft")
    return folder


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, real_inputs: Path, tiny_checkpoint: Path, tmp_path_factory) -> Path:
    """The tables of all real inputs by the random checkpoint with one replica: what other runs are compared with."""
    output = tmp_path_factory.mktemp("undisturbed")
    craft_ray.annotate(str(real_inputs), str(output), model=str(tiny_checkpoint), replicas=1)
    return output


def test_real_articles_by_the_embedded_model(local_ray: None, data: Path, tmp_path: Path, request):
    """All 67 articles of CRAFT in the long form, every 32nd in the short one; and all others."""
    articles = sorted(map(str, (data / "craft/jats").iterdir()))[:: 1 if request.config.getoption("long") else 32]
    inputs = [*articles, str(data / "pubmed"), str(data / "jats")]
    annotated = len(articles) + 65
    summary = craft_ray.annotate(inputs, str(tmp_path))
    assert summary["documents"] == {
        "found": annotated + 6,
        "annotated": annotated,
        "rejected": 0,
        "deleted": 6,
        "unchanged": 0,
        "superseded": 0,
    }
    assert summary["adds_up"]
    assert assert_consistent(tmp_path) == {"annotated": annotated, "deleted": 6}
    labels = summary["entities"]
    assert sum(labels.values()) == len(entity_rows(tmp_path)) > 600 * len(articles)
    assert set(labels) == {"Sequence", "Cell", "Protein", "Gene", "Taxon", "Chemical"}

    again = craft_ray.annotate(inputs, str(tmp_path))
    assert _some(again, "annotated", "deleted", "unchanged") == (0, 0, annotated + 6)
    assert (again["shards"]["known"], again["shards"]["read"]) == (len(articles) + 7, 0)
    assert len(entity_rows(tmp_path)) == sum(labels.values())

    (record,) = [r for r in _records(tmp_path) if r["run_id"] == summary["run_id"]]
    assert record["status"] == summary["status"] == "complete"
    assert len(record["model"]["fingerprint"]) == 64
    shards = table(tmp_path, "shards")
    assert shards.num_rows == len(articles) + 7
    assert sum(shards["found"].to_pylist()) == annotated + 6
    assert set(shards["run_id"].to_pylist()) == {record["run_id"]}


def test_two_replicas_and_another_order_of_shards_change_no_entity_row(
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


@pytest.mark.long  # tests/chaos reads from S3 and writes there in the short form as well
def test_input_and_output_on_s3_give_equal_tables(
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
    assert done.summary["documents"]["found"] == len(list((real_inputs / "craft").iterdir())) + 71
    assert s3_server.secret not in done.stdout + done.stderr
    options = s3_server.environment | {"AWS_ALLOW_HTTP": "true"}
    assert close(entity_rows(f"{prefix}/out", options), entity_rows(undisturbed))
    assert document_rows(f"{prefix}/out", options, without=("shard",)) == document_rows(undisturbed, without=("shard",))
    assert_consistent(f"{prefix}/out", options)
    written = [path for path in filesystem.find(f"{prefix}/out") if not filesystem.isdir(path)]
    assert not any(s3_server.secret.encode() in filesystem.cat_file(path) for path in written)
    parquet = {path.rpartition("/")[2] for path in written if path.endswith(".parquet")}
    tables = [
        DeltaTable(f"{prefix}/out/{name}", storage_options=options) for name in ("entities", "documents", "shards")
    ]
    assert parquet == {uri.rpartition("/")[2] for delta in tables for uri in delta.file_uris()}


def titles(output: Path) -> dict[str, tuple[str, str | None]]:
    return {row["doc_id"]: (row["status"], row["text"]) for row in document_rows(output)}


def test_revisions_replace_and_deletions_remove_whatever_comes_when(
    local_ray: None, tiny_checkpoint: Path, tmp_path: Path
):
    base = pubmed_file(tmp_path / "pubmed26n0001.xml", citation(1, "One"), citation(2, "Two"), citation(3, "Three"))
    update = pubmed_file(tmp_path / "pubmed26n0002.xml", citation(1, "One, revised"), deletion(2, 9))
    late = pubmed_file(
        tmp_path / "pubmed26n0000.xml", citation(1, "One, older"), citation(2, "Two"), citation(9, "Nine")
    )
    expected = {
        "PMID:1": ("annotated", "One, revised"),
        "PMID:2": ("deleted", None),
        "PMID:3": ("annotated", "Three"),
        "PMID:9": ("deleted", None),
    }
    options = {"model": str(tiny_checkpoint)}

    stepwise = tmp_path / "stepwise"
    craft_ray.annotate(base, str(stepwise), **options)
    summary = craft_ray.annotate([base, update], str(stepwise), **options)
    assert _some(summary, "annotated", "deleted", "unchanged", "superseded") == (1, 2, 3, 0)
    assert titles(stepwise) == expected
    summary = craft_ray.annotate([late, base], str(stepwise), **options)
    assert _some(summary, "annotated", "superseded", "unchanged") == (0, 3, 3)  # the base is known and not read
    assert titles(stepwise) == expected

    at_once = tmp_path / "at_once"
    summary = craft_ray.annotate([late, update, base], str(at_once), **options)
    assert _some(summary, "found", "annotated", "deleted", "superseded") == (9, 2, 2, 5)
    assert titles(at_once) == expected
    for output in (stepwise, at_once):
        assert assert_consistent(output) == {"annotated": 2, "deleted": 2}
    assert close(entity_rows(stepwise), entity_rows(at_once))


def test_revisions_that_meet_within_a_run_are_counted_as_the_tables_have_them(
    local_ray: None, tiny_checkpoint: Path, tmp_path: Path
):
    """Each file is a block of its own, so that revisions of one citation are committed one after the other."""
    for number in range(6):
        content = [citation(pmid, f"Title {pmid} of mice in revision {number}") for pmid in range(1, 14)]
        pubmed_file(tmp_path / f"pubmed26n000{number}.xml", *content)
    output = tmp_path / "out"
    summary = craft_ray.annotate(f"{tmp_path}/*.xml", str(output), model=str(tiny_checkpoint), block_mb=0.001)
    assert _some(summary, "found", "annotated", "superseded") == (78, 13, 65)
    assert summary["adds_up"]
    assert {text for _, text in titles(output).values()} == {f"Title {i} of mice in revision 5" for i in range(1, 14)}
    assert sum(summary["entities"].values()) == len(entity_rows(output))
    assert_consistent(output)


def test_another_model_annotates_again_if_that_is_asked_for(local_ray: None, tiny_checkpoint: Path, tmp_path: Path):
    craft_ray.annotate(str(SAMPLE), str(tmp_path), model=str(tiny_checkpoint))
    before = entity_rows(tmp_path)
    with pytest.raises(SettingsError, match=r"the 4 documents of .* another model .* --replace-model"):
        craft_ray.annotate(str(SAMPLE), str(tmp_path))
    assert entity_rows(tmp_path) == before
    summary = craft_ray.annotate(str(SAMPLE), str(tmp_path), replace_model=True)
    assert summary["documents"]["annotated"] == 3
    assert entity_rows(tmp_path) != before
    assert_consistent(tmp_path)


def test_bad_documents_are_rejected_bad_shards_marked_and_good_ones_come_through(
    local_ray: None, tiny_checkpoint: Path, tmp_path: Path
):
    folder = tmp_path / "in"
    folder.mkdir()
    good = json.dumps({"id": "good", "text": "Pax6 in mice"})
    (folder / "a.jsonl").write_text(f"{good}\n{{broken\n{json.dumps({'id': 'no text'})}\n")
    whole = (SAMPLE / "citations.xml").read_bytes()
    (folder / "half.xml").write_bytes(whole[: whole.index(b"990000002")])
    (folder / "empty.xml").write_bytes(b"")
    (folder / "page.xml").write_bytes(b"<html><body>not an article</body></html>")
    (folder / "utf16.txt").write_bytes("Pax6".encode("utf-16"))
    (folder / "notes.md").write_text("not input")
    (folder / 'it\'s "quoted".txt').write_text("A mouse.")
    summary = craft_ray.annotate(str(folder), str(tmp_path / "out"), model=str(tiny_checkpoint))
    found = document_rows(tmp_path / "out")
    assert {row["doc_id"].removeprefix("in/"): (row["status"], row["reason"]) for row in found} == {
        "good": ("annotated", None),
        "a.jsonl#2": ("rejected", "bad_json"),
        "no text": ("rejected", "bad_record"),
        "PMID:990000001": ("annotated", None),
        "half.xml#unreadable": ("rejected", "bad_xml"),
        "empty.xml#unreadable": ("rejected", "unknown_format"),
        "page.xml#unreadable": ("rejected", "unknown_format"),
        "utf16.txt": ("rejected", "bad_encoding"),
        'it\'s "quoted".txt': ("annotated", None),
    }
    assert summary["shards"]["passed_over"] == [str(folder / "notes.md")]
    assert set(summary["shards"]["broken"]) == {str(folder / name) for name in ("half.xml", "empty.xml", "page.xml")}
    assert_consistent(tmp_path / "out")

    (folder / "half.xml").write_bytes(whole)
    summary = craft_ray.annotate(str(folder), str(tmp_path / "out"), model=str(tiny_checkpoint))
    mended = {row["doc_id"]: row["status"] for row in document_rows(tmp_path / "out")}
    assert "in/half.xml#unreadable" not in mended
    assert mended["PMID:990000002"] == "annotated"
    assert summary["adds_up"]


def test_texts_are_left_out_on_request(local_ray: None, tiny_checkpoint: Path, tmp_path: Path):
    craft_ray.annotate(str(SAMPLE), str(tmp_path), model=str(tiny_checkpoint), keep_text=False)
    assert set(table(tmp_path, "documents")["text"].to_pylist()) == {None}
    assert table(tmp_path, "entities").num_rows > 0


def _some(summary: dict, *names: str) -> tuple[int, ...]:
    return tuple(summary["documents"][name] for name in names)


def _records(output: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in (output / "runs").glob("*.json")]
