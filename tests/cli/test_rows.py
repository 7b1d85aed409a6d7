"""Rows on a terminal and in a pipe."""

import pyarrow as pa
import pytest

from craft_ray.cli.rows import print_rows

HOSTILE = pa.table({"mention": ["\x1b[2Jmouse", "\x9b31m\u202erat", "𝛽-actin"]})


@pytest.mark.parametrize("form", ["csv", "json lines", "table"])
def test_a_terminal_gets_no_control_characters(form: str, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    print_rows(HOSTILE.to_reader(), form)
    shown = capfd.readouterr().out
    assert not {"\x9b", "\u202e"} & set(shown)
    assert "\x1b[2J" not in shown
    assert "𝛽-actin" in shown


@pytest.mark.parametrize("form", ["csv", "json lines"])
def test_a_pipe_gets_all_characters(form: str, capfd):
    print_rows(HOSTILE.to_reader(), form)
    assert "\x9b31m\u202erat" in capfd.readouterr().out
