"""Fine-tuning: the card's step count, the same numbers twice, a checkpoint that annotates, a card with the table."""

import math
from pathlib import Path

import pytest
from transformers import AutoModelForTokenClassification

from craft_ray.checkpoint import load_checkpoint
from craft_ray.corpora import read_iob
from craft_ray.errors import SettingsError
from craft_ray.evaluation import evaluate_tokens
from craft_ray.training import Recipe, train
from tests.conftest import save_random_bert

SENTENCES = [
    ("Pax6 is expressed in the mouse .", "B-GGP O O O O B-Taxon O"),
    ("Wild type alleles bind calcium .", "B-SO I-SO B-SO O B-CHEBI O"),
    ("Nuclear neurons of rats", "B-GO B-CL O B-Taxon"),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    blocks = ["\n".join(f"{w}\t{t}" for w, t in zip(s.split(), tags.split(), strict=True)) for s, tags in SENTENCES]
    path = tmp_path_factory.mktemp("corpus") / "small.tsv"
    path.write_text("\n\n".join(blocks * 8) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = save_random_bert(tmp_path_factory.mktemp("base"), hidden_size=64, layers=2, heads=2, intermediate_size=128)
    AutoModelForTokenClassification.from_pretrained(folder).bert.save_pretrained(folder)
    return str(folder)


def test_craft_iob_train_makes_the_cards_1360_steps_an_epoch(data: Path):
    sentences = read_iob(data / "craft-iob" / "train.tsv")
    assert math.ceil(len(sentences) / Recipe().batch_size) == 1360


def test_training_learns_and_two_runs_give_the_same_numbers(corpus: str, encoder: str, tmp_path: Path):
    recipe = Recipe(learning_rate=5e-3, epochs=5)
    first = train(corpus, corpus, encoder, str(tmp_path / "first"), recipe)
    second = train(corpus, corpus, encoder, str(tmp_path / "second"), recipe)
    assert first.rows == second.rows
    assert len(first.rows) == 5
    assert [row["step"] for row in first.rows] == [3, 6, 9, 12, 15]
    assert first.rows[-1]["f1"] > 0.9

    checkpoint = load_checkpoint(str(tmp_path / "first"))
    assert checkpoint.tags.names == ("Sequence", "Cell", "Protein", "Gene", "Taxon", "Chemical")
    scores = evaluate_tokens(checkpoint, read_iob(corpus))
    assert scores["f1"] == pytest.approx(first.rows[-1]["f1"], abs=0.02)  # weights are saved in half precision
    assert scores["loss"] == pytest.approx(first.rows[-1]["loss"], abs=0.02)
    assert set(scores["per_label"]) == set(checkpoint.tags.names)

    card = (tmp_path / "first" / "README.md").read_text()
    assert "| Training Loss | Epoch | Step | Validation Loss | Precision | Recall | F1 | Accuracy |" in card
    assert f"| {first.rows[-1]['f1']:.4f} |" in card


def test_a_bert_base_shape_trains_for_a_few_steps(corpus: str, tmp_path: Path):
    """The path of BioBERT, with random weights."""
    folder = save_random_bert(tmp_path / "base", hidden_size=768, layers=12, heads=12, intermediate_size=3072)
    result = train(corpus, corpus, str(folder), str(tmp_path / "out"), Recipe(max_steps=2))
    assert result.rows[-1]["step"] == 2
    assert load_checkpoint(str(tmp_path / "out")).max_pieces == 510


def test_the_embedded_model_keeps_its_score(data: Path):
    scores = evaluate_tokens(load_checkpoint(), read_iob(data / "craft-iob" / "devel.tsv")[:1000])
    assert scores["f1"] > 0.80
    assert scores["accuracy"] > 0.95


@pytest.mark.parametrize(
    ("content", "sentence"), [("word\n", "is not in IOB form"), ("\n\n", "holds no sentence"), (None, "cannot read")]
)
def test_a_bad_corpus_is_a_bad_setting(content, sentence, tmp_path: Path):
    path = tmp_path / "x.tsv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=sentence):
        read_iob(path)


def test_a_corpus_of_other_labels_is_a_bad_setting(encoder: str, tmp_path: Path):
    (tmp_path / "x.tsv").write_text("flu\tB-Disease\n")
    with pytest.raises(SettingsError, match="outside the six labels: B-Disease"):
        train(str(tmp_path / "x.tsv"), str(tmp_path / "x.tsv"), encoder, str(tmp_path / "out"))
    with pytest.raises(SettingsError, match="which the model does not know"):
        evaluate_tokens(load_checkpoint(), read_iob(tmp_path / "x.tsv"))
