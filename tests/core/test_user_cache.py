"""The cache of converted graphs and lexicons."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from craft_ray.core.user_cache import MAX_FILES, cached, remembered
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines import openvino
from craft_ray.model.engines.engine import Precision
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.models import predict, windows_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "craft_ray" / "graphs"


def content() -> bytes:
    return b"a content of 26 characters"


def fail() -> bytes:
    raise AssertionError("should have been read from the cache")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"x" + content,
        lambda content: content[:32] + bytes(8) + content[40:],
        lambda content: content[:-1] + b"x",
    ],
    ids=["cut", "empty", "shifted", "zeros", "end"],
)
def test_damaged_file_is_made_again(folder: Path, damage):
    assert cached("graphs", "key", content) == content() == cached("graphs", "key", fail)
    (folder / "key").write_bytes(damage((folder / "key").read_bytes()))
    assert cached("graphs", "key", lambda: b"again") == b"again" == cached("graphs", "key", fail)
    assert [file.name for file in folder.iterdir()] == ["key"]


def test_digests_are_remembered_until_the_file_changes(folder: Path, tmp_path: Path, monkeypatch):
    file, other = tmp_path / "weights", tmp_path / "other"
    for one in (file, other):
        one.write_bytes(b"1234")
    assert [remembered(file, "", lambda n=n: n) for n in "ab"] == ["a", "b"]  # it has changed a moment ago
    monkeypatch.setattr("craft_ray.core.user_cache.SETTLED", 0)
    assert remembered(file, "", lambda: "a") == "a" == remembered(file, "", lambda: "b")
    assert remembered(file, "another form", lambda: "c") == "c"
    os.utime(file, ns=(1, 1))
    assert remembered(file, "", lambda: "d") == "d" == remembered(file, "", lambda: "e")
    other.replace(file)
    assert remembered(file, "", lambda: "f") == "f"


def test_concurrent_runs(folder: Path):
    large = os.urandom(1 << 20)
    with ThreadPoolExecutor(8) as pool:
        assert all(
            content == large for content in pool.map(lambda _: cached("graphs", "key", lambda: large), range(32))
        )
    assert [file.name for file in folder.iterdir()] == ["key"]


def test_most_recently_used_files_are_kept(folder: Path):
    for number in range(MAX_FILES):
        cached("graphs", str(number), content)
        os.utime(folder / str(number), (number, number))
    cached("graphs", "0", fail)
    cached("graphs", "new", content)
    assert sorted(file.name for file in folder.iterdir()) == ["0", *map(str, range(2, MAX_FILES)), "new"]


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached("graphs", "key", content) == content()


def test_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unknown(number: int):
        raise KeyError(number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert cached("graphs", "key", content) == content()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_cached_graph_gives_the_same_predictions(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye.", "Calcium."])
    converted = predict(Model(prepare_model(checkpoint, "cpu", "fp32")), windows)
    monkeypatch.setattr(openvino, "_convert", lambda *arguments: fail())
    again = predict(Model(prepare_model(checkpoint, "cpu", "fp32")), windows)
    assert all(np.array_equal(a, b) for a, b in zip(converted, again, strict=True))
    with pytest.raises(AssertionError):
        prepare_model(checkpoint, "cpu", "bf16")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_compiled_graph_gives_the_same_predictions(
    folder: Path, craft_iob: Checkpoint, precision: Precision, monkeypatch: pytest.MonkeyPatch
):
    windows = windows_of(craft_iob, ["Pax6 acts in the mouse eye.", "Calcium."])
    fresh = predict(Model(prepare_model(craft_iob, "cpu", precision)), windows)
    made = predict(Model.of(craft_iob, precision), windows)
    monkeypatch.setattr(openvino, "to_openvino", lambda *arguments: fail())
    cached = predict(Model.of(craft_iob, precision), windows)
    for a, b, c in zip(fresh, made, cached, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(b, c)
    assert len(list(folder.iterdir())) == 1
