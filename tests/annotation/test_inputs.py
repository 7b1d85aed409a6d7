"""Files that no reader recognizes are told before a model is loaded."""

import logging
from pathlib import Path

import pytest

from craft_ray.annotation.inputs import Inputs, check_formats, list_inputs
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from craft_ray.storage.storage import Storage


def check(*inputs: Path, **settings) -> None:
    chosen = Settings(**settings)
    sources, storage = Inputs([str(path) for path in inputs]), Storage.of(chosen)
    check_formats(storage, sources, list_inputs(storage, sources, None, prune=False), chosen)


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    path = tmp_path / "x.xml"
    path.write_text('<component xmlns="http://www.wiley.com/namespaces/wiley"/>')
    return path


def test_files_of_unknown_formats_end_the_run_before_it_begins(unknown: Path):
    with pytest.raises(SettingsError, match="cannot be read: Wiley's own XML: get the article as JATS"):
        check(unknown)


def test_known_files_are_read_and_the_others_are_warned_of(unknown: Path, caplog: pytest.LogCaptureFixture):
    known = unknown.with_name("a.txt")
    known.write_text("Pax6")
    with caplog.at_level(logging.WARNING, "craft_ray"):
        check(unknown, known)
    assert "Wiley's own XML" in caplog.text


def test_files_that_are_not_named_or_damaged_are_left_to_the_run(unknown: Path):
    check(unknown.parent)
    check(unknown, format="pubmed")
    unknown.write_bytes(b"\x1f\x8b broken")
    check(unknown)
