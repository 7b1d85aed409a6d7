"""Errors in settings: all at once, each with its origin and the nearest name."""

from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import load_settings
from craft_ray.core.validation import nearest


def test_mistakes_have_lines_and_nearest_names(tmp_path: Path):
    file = tmp_path / "x.yaml"
    file.write_text("replica: 3\ns3:\n  regoin: eu\nprecision: fp33\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    text = str(caught.value)
    assert f"setting replica: there is no such setting ({file}, line 1); did you mean replicas?" in text
    assert f"setting s3.regoin: there is no such setting ({file}, line 3); did you mean region?" in text
    assert "setting precision: " in text
    assert f"not 'fp33' ({file}, line 4)" in text


def test_values_of_unknown_settings_stay_secret(tmp_path: Path):
    (tmp_path / "x.yaml").write_text("s3:\n  secret_key: hush\n")
    with pytest.raises(SettingsError, match=r"s3\.secret_key") as caught:
        load_settings(tmp_path / "x.yaml")
    assert "hush" not in str(caught.value)


def test_invalid_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_WAIT_FOR__SECONDS", "-1")
    with pytest.raises(SettingsError, match=r"setting wait_for\.seconds: .* \(CRAFT_RAY_WAIT_FOR__SECONDS\)"):
        load_settings()


def test_misspelt_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_REPLICA", "4")
    with pytest.raises(SettingsError, match=r"CRAFT_RAY_REPLICA is not a setting; did you mean CRAFT_RAY_REPLICAS\?"):
        load_settings()


@pytest.mark.parametrize("name", ["CRAFT_RAY_NIGHTLY_HEAD_SVC_SERVICE_HOST", "CRAFT_RAY_PORT", "CRAFT_RAY_PORT_80_TCP"])
def test_variables_of_others_do_no_harm(name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    load_settings()
    assert f"{name} is not a setting" in caplog.text


def test_nearest_may_be_nothing():
    assert nearest("zzz", ["replicas"]) == ""
