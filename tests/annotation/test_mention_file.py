"""`craft-ray annotate --to`: files of mentions without tables."""

import json
import subprocess
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from craft_ray.annotation.inputs import Inputs
from craft_ray.annotation.mention_file import annotate_to_file
from craft_ray.annotation.tagger import Tagger
from craft_ray.core.schema import Rejection
from craft_ray.core.settings import load_settings
from craft_ray.model.batches import Batch
from craft_ray.model.engines.stand_in import StandInEngine
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.tokens import load_tokenizer
from tests.support.commands import COMMAND

TEXTS = {"1": "Pax6 is in the mouse eye.", "3": 'Calcium, "quoted",\nand =BRCA1.', "4": "𝛽-actin of rats."}
MODEL = ("--model", "stand-in")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "notes.jsonl"
    file.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in TEXTS.items()))
    return file


def mentions(file: Path) -> list[tuple]:
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    elif file.suffix == ".csv":
        options = pyarrow.csv.ParseOptions(newlines_in_values=True)
        rows = pyarrow.csv.read_csv(file, parse_options=options).to_pylist()
    else:
        rows = pq.read_table(file).to_pylist()
    return [(str(row["doc_id"]), row["label"], row["start"], row["end"], row["mention"]) for row in rows]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_mentions_are_those_of_the_tagger(command, notes: Path, tmp_path: Path, suffix: str):
    file = tmp_path / f"mentions{suffix}"
    done = command("annotate", notes, "--to", file, *MODEL, "--json")
    assert (done.code, done.summary["status"], done.summary["documents"]) == (0, "complete", 3), done.stderr
    expected = [
        (doc_id, entity.label, entity.start, entity.end, entity.mention)
        for doc_id, text in TEXTS.items()
        for entity in Tagger.load("stand-in").tag(text)
    ]
    assert mentions(file) == expected != []
    assert all(TEXTS[doc_id][start:end] == mention for doc_id, _, start, end, mention in expected)
    assert sum(done.summary["entities"].values()) == len(expected)
    assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == [file.name]


def test_what_is_rejected_is_named_and_ends_with_5(command, notes: Path, tmp_path: Path):
    with notes.open("a") as lines:
        lines.write('{"id": "5", "text": ""}\n{broken\n{"id": "1", "text": "A rat."}\n')
    (notes.parent / "broken.xml").write_text("<PubmedArticleSet><PubmedArticle>")
    file = notes.parent / "mentions.csv"
    for _ in range(2):  # the file of mentions is not read as input
        done = command("annotate", notes.parent, "--to", file, *MODEL)
        assert done.code == 5
        assert "rejected 5: empty_text: no text" in done.stderr
        assert "rejected 1: duplicate_id: an earlier document has this id" in done.stderr
        assert "4 documents were rejected (bad_xml 1, empty_text 1, bad_json 1, duplicate_id 1)" in done.stderr
        assert {row[0] for row in mentions(file)} <= TEXTS.keys()


def test_document_on_which_the_model_fails(notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokenizer = load_tokenizer(load_checkpoint("stand-in").tokenizer)
    poison = tokenizer.encode("Calcium", add_special_tokens=False).ids[0]  # of the second document of three
    start = StandInEngine.start

    def failing_start(engine: StandInEngine, batch: Batch):
        if (batch.token_ids == poison).any():
            raise RuntimeError("the network fails")
        return start(engine, batch)

    monkeypatch.setattr(StandInEngine, "start", failing_start)
    rejected: list[Rejection] = []
    file, settings = tmp_path / "mentions.csv", load_settings(model="stand-in")
    counts = annotate_to_file(Inputs([str(notes)]), str(file), settings, rejected.append)
    assert rejected == [Rejection("3", "failed", "the model: RuntimeError: the network fails")]
    assert (counts["documents"], counts["rejected"]) == (2, {"failed": 1})
    assert {row[0] for row in mentions(file)} == {"1", "4"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "m.txt"], "the suffix names the format, one of .csv, .jsonl, .parquet"),
        (["--to", "m.csv", "--output", "out"], "--to writes a file in place of tables"),
        (["--to", "m.csv", "--prune"], "--deleted-from and --prune change tables"),
        (["--to", "-", "--json"], "--json prints the counts where --to - prints mentions"),
        (["--to", "m.csv", "--model", "/no/such"], "there is no model folder /no/such"),
        (["--output", "out.csv"], "--to out.csv writes a file of mentions"),
    ],
)
def test_bad_options_write_nothing(command, notes: Path, monkeypatch, arguments: list[str], sentence: str):
    monkeypatch.chdir(notes.parent)
    done = command("annotate", notes, *MODEL, *arguments)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr
    assert list(notes.parent.iterdir()) == [notes]


def test_mentions_of_a_pipe_come_with_each_line():
    pipe = subprocess.PIPE
    process = subprocess.Popen([*COMMAND, "annotate", "-", "--to", "-", *MODEL], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in ({"id": "a", "text": TEXTS["1"]}, {"text": TEXTS["1"]}):
        process.stdin.write(f"{json.dumps(line)}\n".encode())
        process.stdin.flush()
        row = json.loads(process.stdout.readline())  # while standard input is open
        assert row["doc_id"] == line.get("id", "stdin#2")
        assert TEXTS["1"][row["start"] : row["end"]] == row["mention"]
        for _ in Tagger.load("stand-in").tag(TEXTS["1"])[1:]:
            process.stdout.readline()
    out, err = process.communicate(b"{broken\n", timeout=60)
    assert (out, process.returncode) == (b"", 5)
    assert b"rejected stdin#3: bad_json" in err


def test_a_text_on_standard_input():
    done = subprocess.run(
        [*COMMAND, "annotate", "-", "--to", "-", *MODEL], input=TEXTS["1"].encode(), capture_output=True, check=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["doc_id"] for row in rows} == {"stdin"}
    assert all(TEXTS["1"][row["start"] : row["end"]] == row["mention"] for row in rows)
