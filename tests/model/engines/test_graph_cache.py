"""Converted graphs are kept: read whole or made anew, by any number of processes at once."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from craft_ray.model.engines import openvino
from craft_ray.model.engines.graph_cache import MAX_GRAPHS, cached
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.models import predict, windows_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "craft_ray" / "graphs"


def never() -> bytes:
    raise AssertionError("it was there already")


def test_what_was_made_once_is_read(folder: Path):
    assert cached("key", lambda: b"content") == b"content"
    assert cached("key", never) == b"content"
    assert [file.name for file in folder.iterdir()] == ["key"]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: b"x" + content])
def test_a_damaged_file_is_made_anew(folder: Path, damage):
    cached("key", lambda: b"content")
    (folder / "key").write_bytes(damage((folder / "key").read_bytes()))
    assert cached("key", lambda: b"again") == b"again"
    assert cached("key", never) == b"again"


def test_runs_that_make_the_same_graph_at_once_each_get_it_whole(folder: Path):
    content = os.urandom(1 << 20)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: cached("key", lambda: content), range(32))) == {content}
    assert [file.name for file in folder.iterdir()] == ["key"]


def test_the_graphs_used_last_are_kept(folder: Path):
    for number in range(MAX_GRAPHS):
        cached(str(number), lambda: b"content")
        os.utime(folder / str(number), (number, number))
    cached("0", never)
    cached("new", lambda: b"content")
    assert sorted(file.name for file in folder.iterdir()) == ["0", *map(str, range(2, MAX_GRAPHS)), "new"]


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached("key", lambda: b"content") == b"content"


def test_a_user_without_a_home_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unknown(number: int):
        raise KeyError(number)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert cached("key", lambda: b"content") == b"content"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_a_graph_out_of_the_cache_answers_the_same(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = load_checkpoint(str(tiny_checkpoint))
    windows = windows_of(checkpoint, ["Pax6 acts in the mouse eye.", "Calcium."])
    made = predict(Model(prepare_model(checkpoint, "cpu", "fp32")), windows)
    monkeypatch.setattr(openvino, "_convert", lambda *arguments: never())
    again = predict(Model(prepare_model(checkpoint, "cpu", "fp32")), windows)
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
    with pytest.raises(AssertionError):
        prepare_model(checkpoint, "cpu", "bf16")
