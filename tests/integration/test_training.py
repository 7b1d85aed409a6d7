"""Fine-tuning on Ray Train: equal on one and two workers, resumed after a kill, with every option of a recipe."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from transformers import AutoModelForTokenClassification

from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.corpora import Corpus
from craft_ray.training.iob import read_iob
from craft_ray.training.publish import TrainingResult
from craft_ray.training.recipe import Recipe
from craft_ray.training.train import STATE, train
from tests.conftest import save_random_bert
from tests.support.commands import COMMAND, run_command
from tests.support.gold import gold

SENTENCES = [
    ("Pax6 is expressed in the mouse .", "B-GGP O O O O B-Taxon O"),
    ("Wild type alleles bind calcium .", "B-SO I-SO B-SO O B-CHEBI O"),
    ("Nuclear neurons of rats", "B-GO B-CL O B-Taxon"),
]

EPOCHS = 6
RECIPE = Recipe(learning_rate=3e-3, epochs=EPOCHS, precision="fp32")
OPTIONS = ("--learning-rate", "3e-3", "--epochs", str(EPOCHS), "--precision", "fp32", "--json")

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IOB file of three sentences, eight times."""
    blocks = ["\n".join(f"{w}\t{t}" for w, t in zip(s.split(), tags.split(), strict=True)) for s, tags in SENTENCES]
    path = tmp_path_factory.mktemp("corpus") / "small.tsv"
    path.write_text("\n\n".join(blocks * 8) + "\n")
    return path


@pytest.fixture(scope="module")
def small(corpus: Path) -> Corpus:
    return Corpus("small", read_iob(corpus))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small encoder without dropout, so that one worker and two compute the same."""
    folder = save_random_bert(tmp_path_factory.mktemp("base"), hidden_size=64, layers=2, heads=2, intermediate_size=128)
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = AutoModelForTokenClassification.from_pretrained(folder, **without)
    model.bert.save_pretrained(folder)
    return str(folder)


class Undisturbed(NamedTuple):
    """A training that nothing disturbed, and its checkpoint."""

    result: TrainingResult
    folder: Path


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, small: Corpus, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    return Undisturbed(train(small, small, encoder, str(folder), RECIPE), folder)


@pytest.mark.long
def test_training_leaves_a_checkpoint_with_its_card(undisturbed: Undisturbed):
    (rows, scores), folder = (undisturbed.result.rows, undisturbed.result.scores), undisturbed.folder
    assert [row["step"] for row in rows] == list(range(3, 3 * EPOCHS + 1, 3))
    assert rows[-1]["f1"] == scores["f1"] == 1.0
    assert rows[-1]["loss"] == pytest.approx(scores["loss"], abs=0.01)  # weights are saved in half precision
    card = (folder / "README.md").read_text()
    assert "| Training Loss | Epoch | Step | Validation Loss | Precision | Recall | F1 | Accuracy |" in card
    assert f"| {rows[0]['training_loss']:.4f} | 1.0 | 3 | {rows[0]['loss']:.4f} | {rows[0]['precision']:.4f} |" in card
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "seen_mentions.npy",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    checkpoint = load_checkpoint(str(folder))
    assert checkpoint.tags.names == ("Sequence", "Cell", "Protein", "Gene", "Taxon", "Chemical")
    assert scores["seen"]["support"] == 8 * 8
    assert scores["unseen"]["support"] == 0


@pytest.mark.long
def test_two_workers_take_the_same_steps(undisturbed: Undisturbed, corpus, encoder, s3_server):
    """With accumulation, and an output on S3."""
    address = s3_server.fresh_prefix()
    done = run_command(
        *("train", "--train", corpus, "--dev", corpus, "--base", encoder, "--output", address, *OPTIONS),
        *("--workers", "2", "--accumulate", "2"),
        environment=s3_server.environment,
    )
    assert done.code == 0, done.stderr
    for ours, theirs in zip(done.summary["epochs"], undisturbed.result.rows, strict=True):
        assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.long
@pytest.mark.parametrize("worker", [False, True])
def test_killed_training_resumes(undisturbed: Undisturbed, command, corpus, encoder, tmp_path, worker: bool):
    """A driver is killed, or first a worker. The command that resumes has a recipe file, and overrides one setting."""
    output, recipe = tmp_path / "model", tmp_path / "recipe.yaml"
    recipe.write_text(
        f"train: {corpus}\ndev: {corpus}\nbase: {encoder}\n"
        f"recipe: {{learning_rate: 3.0e-3, epochs: {EPOCHS}, precision: bf16}}\n"
    )
    arguments = ("train", "--train", corpus, "--dev", corpus, "--base", encoder, "--output", output, *OPTIONS)
    driver = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    checkpoints: set[str] = set()
    seen_when_killed = 0
    while len(checkpoints) < (4 if worker else 2):
        with suppress(subprocess.TimeoutExpired):  # polls rarely, to leave the cores to the training
            driver.wait(0.05)
            raise AssertionError(driver.stderr.read())
        checkpoints |= {path.name for path in output.glob(f"{STATE}/*/checkpoint_*")}
        if worker and checkpoints and not seen_when_killed:
            (it,) = (p for p in psutil.Process(driver.pid).children(recursive=True) if "TrainWorker" in p.name())
            it.kill()
            seen_when_killed = len(checkpoints)
    driver.kill()
    driver.communicate()
    assert not worker or 0 < seen_when_killed < 4
    assert not (output / "config.json").exists()

    done = command("train", "--recipe", recipe, "--output", output, "--precision", "fp32", "--json")
    assert done.code == 0, done.stderr
    steps = list(map(int, re.findall(r"step (\d+) of", done.stderr)))
    assert 3 < steps[0] <= steps[-1] == 3 * EPOCHS
    assert done.summary["epochs"] == undisturbed.result.rows
    assert f"epoch {EPOCHS}: F1 1.0000, " in done.stderr
    assert done.summary["f1"] == undisturbed.result.scores["f1"]
    assert not (output / STATE).exists()
    ours, theirs = load_checkpoint(str(output)), load_checkpoint(str(undisturbed.folder))
    assert ours.fingerprint == theirs.fingerprint


@pytest.mark.long
def test_options_of_a_recipe(small: Corpus, encoder: str, tmp_path, local_ray):
    """Train with an auxiliary corpus and the other options of a recipe, for a few steps."""
    other = tmp_path / "other.tsv"
    other.write_text("Influenza\tB-Disease\nvirus\tI-Disease\n.\tO\n\nNothing\tO\n")
    options = {"attention_dropout": 0.0, "swap": {"Protein": 0.5}, "dropout": 0.2}
    recipe = Recipe(epochs=2, window_pieces=32, **options)
    steps, epochs = [], []
    result = train(
        *(small, small, encoder, str(tmp_path / "out"), recipe),
        auxiliary=[Corpus("other", read_iob(other))],
        on_step=lambda *step: steps.append(step),
        on_epoch=epochs.append,
    )
    assert steps == [(1, 2), (2, 2)]
    assert [row["step"] for row in epochs] == [1, 2]
    assert result.rows[-1] == epochs[-1]
    with pytest.raises(SettingsError, match="there is a finished model in"):
        train(small, small, encoder, str(tmp_path / "out"), recipe)
    checkpoint = load_checkpoint(str(tmp_path / "out"))
    assert (checkpoint.window_pieces, len(checkpoint.id2label)) == (32, 13)


@pytest.mark.long
def test_model_without_mentions_is_reported(local_ray, small: Corpus, encoder, tmp_path, caplog):
    nothing_but_o = Recipe(epochs=0.3, outside_bias=1e4, precision="fp32")
    result = train(small, small, encoder, str(tmp_path / "out"), nothing_but_o)
    assert result.scores["f1"] == 0
    assert "F1 is 0: the model finds no mention of the development corpus" in caplog.text


def test_bad_trainings_are_refused(small: Corpus, encoder, tmp_path):
    output = str(tmp_path / "out")
    with pytest.raises(SettingsError, match="cannot be divided into 3 equal parts"):
        train(small, small, encoder, output, workers=3)
    with pytest.raises(SettingsError, match="cannot load the base model"):
        train(small, small, str(tmp_path / "none"), output)
    with pytest.raises(SettingsError, match="other has labels that small does not have: Virus"):
        train(small, Corpus("other", [gold("[flu|Virus]")]), encoder, output)
    with pytest.raises(SettingsError, match="small has no label Virus"):
        train(small, small, encoder, output, Recipe(swap={"Virus": 0.5}))
    with pytest.raises(SettingsError, match="the base craft has other labels than the corpus"):
        train(small, small, "craft", output, Recipe(base_share=0.5))
