"""The corpora of a training, before anything starts."""

from pathlib import Path

import pytest

from craft_ray.cli.train import _read_corpora
from craft_ray.core.errors import SettingsError
from craft_ray.training.recipe import TrainingFile
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
