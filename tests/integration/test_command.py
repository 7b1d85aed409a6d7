"""The command as a user or a scheduler runs it: exit codes, bad settings, evaluation."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.core.schema import Document
from craft_ray.readers import read_shard
from tests.conftest import SAMPLE
from tests.support.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.integration


def documents_of(file: Path) -> list[Document]:
    with file.open("rb") as stream:
        return [item for item in read_shard(stream, file.name) if isinstance(item, Document)]


def test_the_command_and_the_tagger_agree(local_ray: None, command, tmp_path: Path):
    done = command("annotate", SAMPLE, "--output", tmp_path, "--json")
    assert done.code == 0, done.stderr
    assert done.summary["documents"]["annotated"] == 3
    assert done.summary["documents"]["deleted"] == 1
    assert "documents annotated" in done.stderr
    read = [item for file in SAMPLE.iterdir() for item in documents_of(file)]
    tagged = Tagger.load().tag_documents(read)
    assert done.summary["entities"] == Counter(entity.label for found in tagged for entity in found)
    assert done.summary["left_out"] == sum((found.left_out for found in tagged), Counter())
    shown = command("show", tmp_path, "--limit", "100")
    assert "Pax6" in shown.stdout
    assert "Protein" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/no/such/folder"], "the input /no/such/folder does not exist"),
        ([SAMPLE, "--model", "/no/such/model"], "there is no model folder /no/such/model"),
        ([SAMPLE, "--model", "nobody/no-such-model"], "cannot load the model nobody/no-such-model"),
        ([SAMPLE, "--format", "word"], "setting format"),
        ([SAMPLE, "--replicas", "0"], "setting replicas"),
        ([SAMPLE, "--settings", "/no/such.yaml"], "cannot read the settings file"),
        (["gs://bucket/x"], "gs:// is not supported"),
        ([SAMPLE, "--output", "/proc/craft-ray"], "cannot reach the output"),
        ([SAMPLE, "--ontology", "/no/such.obo"], "cannot read the ontology /no/such.obo"),
        ([SAMPLE, "--grounded-only", "Nothing"], "the model has no such label"),
        ([SAMPLE, "--model-sha256", "0" * 64], "not model_sha256"),
        (
            [SAMPLE, "--model", "craft", "--engine", "openvino", "--precision", "fp16"],
            "the engine openvino computes in",
        ),
    ],
)
def test_bad_settings_exit_with_2(command, arguments, sentence, tmp_path: Path):
    began = time.monotonic()
    done = command("annotate", "--output", tmp_path / "out", "--model", "stand-in", *arguments)
    assert done.code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - began < 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret-0123456789"}, 2, "access is denied"),
        ({"AWS_PROFILE": "no-such-profile"}, 2, "the AWS profile does not exist"),
        ({"AWS_ENDPOINT_URL": "127.0.0.1:1"}, 2, "the S3 endpoint 127.0.0.1:1 must begin with http:// or https://"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 1, "nothing answers at the endpoint http://127.0.0.1:1"),
    ],
)
def test_unreachable_storage(s3_server: S3Server, command, monkeypatch, change, code, sentence, tmp_path: Path):
    for name, value in (s3_server.environment | {"CRAFT_RAY_PATIENCE": "0.1"} | change).items():
        monkeypatch.setenv(name, value)
    done = command("annotate", f"s3://{BUCKET}/x", "--output", tmp_path, "--model", "stand-in")
    assert done.code == code
    assert sentence in done.stderr
    assert not any(value in done.stderr for value in (s3_server.secret, "wrong-secret-0123456789"))


@pytest.mark.usefixtures("on_s3")
def test_a_missing_bucket_exits_with_2(command):
    for arguments in (
        ("annotate", SAMPLE, "--output", "s3://no-such-bucket/out", "--model", "stand-in"),
        ("annotate", "s3://no-such-bucket/a.jsonl", "--output", "out", "--model", "stand-in"),
        ("annotate", "s3://no-such-bucket/*.jsonl", "--output", "out", "--model", "stand-in"),
        ("top", "s3://no-such-bucket/out"),
    ):
        done = command(*arguments)
        assert done.code == 2
        assert "the bucket does not exist" in done.stderr


def test_evaluate_documents_of_craft(command, tmp_path: Path):
    """An article whose only mention is the Taxon; --train says which mentions the model has seen."""
    (tmp_path / "txt").mkdir()
    (tmp_path / "txt/1.txt").write_text("The mouse eye.")
    for ontology in ("SO", "CL", "PR", "GO_CC", "NCBITaxon", "CHEBI"):
        file = tmp_path / "standoff" / ontology / "1.xml"
        file.parent.mkdir(parents=True)
        found = '<annotation><span start="4" end="9"/></annotation>' if ontology == "NCBITaxon" else ""
        file.write_text(f"<annotations>{found}</annotations>")
    (tmp_path / "train.tsv").write_text("mouse\tB-Taxon\n")
    done = command(
        *("evaluate", "documents", "--craft", tmp_path, "--train", tmp_path / "train.tsv"),
        *("--model", "craft-iob", "--json"),
    )
    assert done.code == 0, done.stderr
    assert done.summary is not None
    assert done.summary["f1"] == done.summary["accuracy"] == 1.0
    assert (done.summary["seen"]["support"], done.summary["unseen"]["support"]) == (1, 0)
    assert done.summary["relaxed"]["all"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_evaluate_lists_errors(command, tmp_path: Path):
    gold = tmp_path / "gold.pubtator"
    gold.write_text("1|t|The mouse eye.\n1|a|An odd word.\n1\t4\t13\tmouse eye\tTaxon\n1\t18\t21\todd\tCell\n")
    done = command("evaluate", "documents", "--gold", gold, "--errors", "--json")
    assert done.code == 0, done.stderr
    *rows, scores = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["error"], row["label"], row["mention"], row["instead"]) for row in rows] == [
        ("invented", "Taxon", "mouse", "Taxon: mouse eye"),
        ("missed", "Taxon", "mouse eye", "Taxon: mouse"),
        ("missed", "Cell", "odd", None),
    ]
    assert rows[0]["context"] == "The mouse eye.\nAn odd word."
    assert (scores["f1"], scores["relaxed"]["Taxon"]["f1"]) == (0, 1)
    bad = command("evaluate", "documents")
    assert (bad.code, bad.stderr) == (2, "craft-ray: give the corpus to score: --gold PATH, or --craft FOLDER\n")
    bad = command("evaluate", "documents", "--gold", gold, "--csv")
    assert (bad.code, bad.stdout) == (2, "")
    assert "--csv goes with --errors" in bad.stderr
