"""The corpora of a training, before anything starts."""

import json
from pathlib import Path

import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.cli.train import _auxiliary_corpus, _read_auxiliary, _read_corpora
from craft_ray.core.errors import SettingsError
from craft_ray.training.recipe import Auxiliary, TrainingFile
from tests.support.gold import gold


@pytest.fixture
def corpora(tmp_path: Path) -> TrainingFile:
    (tmp_path / "train.tsv").write_text("Flu\tB-VIRUS\nkills\tO\nhens\tB-Host\n")
    (tmp_path / "dev.tsv").write_text("Mumps\tB-Virus\nin\tO\nSpain\tB-Place\n")
    return TrainingFile(train=str(tmp_path / "train.tsv"), dev=str(tmp_path / "dev.tsv"))


def test_labels_of_both_corpora_are_mapped_and_chosen(corpora: TrainingFile):
    train, dev = _read_corpora(corpora, {"VIRUS": "Virus"}, ["Virus"])
    assert train.sentences == [gold("[Flu|Virus] kills hens")]
    assert dev.sentences == [gold("[Mumps|Virus] in Spain")]
    with pytest.raises(SettingsError, match="no label Plant: it has Host, Place, VIRUS, Virus"):
        _read_corpora(corpora, {"Plant": "Virus"}, [])


def test_a_model_adds_the_labels_that_a_corpus_lacks(tmp_path: Path):
    mentions = [{"start": 0, "end": 4, "label": "GENE"}, {"start": 8, "end": 17, "label": "Verb"}]
    record = {"text": "Pax6 is expressed in the mouse eye.", "entities": mentions}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(record))
    auxiliary = Auxiliary(corpus=str(tmp_path / "corpus.jsonl"), labels={"GENE": "Protein"}, silver="craft")
    corpus = _auxiliary_corpus(*_read_auxiliary(auxiliary), ["Protein", "Taxon", "Anatomy", "Host"], Tagger.load)
    assert corpus.sentences == [gold("[Pax6|Protein] is expressed in the [mouse|Taxon] [eye|Anatomy].")]
    assert corpus.shared == ("Protein", "Taxon", "Anatomy"), "nothing is learned of a label that the model lacks"
