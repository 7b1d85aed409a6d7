"""Precedence of settings, and errors."""

from pathlib import Path
from typing import get_type_hints

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import FILE, SettingArguments, Settings, load_settings


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "settings.yaml"
    file.write_text("replicas: 3\nprecision: bf16\ntoken_budget: 512\ns3:\n  region: eu-west-1\n")
    monkeypatch.setenv("CRAFT_RAY_REPLICAS", "4")
    monkeypatch.setenv("CRAFT_RAY_PRECISION", "fp16")
    monkeypatch.setenv("CRAFT_RAY_S3__PROFILE", "lab")
    settings = load_settings(file, replicas=5, model=None)
    assert (settings.replicas, settings.precision, settings.token_budget) == (5, "fp16", 512)
    assert (settings.s3.region, settings.s3.profile) == ("eu-west-1", "lab")
    assert load_settings().token_budget is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("replicas: many", "setting replicas: .*, not 'many'"),
        ("s3: {secret: x}", "setting s3.secret"),
        ("- a list", "holds no settings, only list"),
        ("a: [", "is not YAML"),
        ("min_score: 2", "setting min_score: "),
    ],
)
def test_invalid_file(content, sentence, tmp_path: Path):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_endpoint_with_keys_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_S3__ENDPOINT_URL", "http://key:hush@127.0.0.1:8333")
    with pytest.raises(SettingsError, match=r"setting s3\.endpoint_url: .*credentials") as caught:
        load_settings()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("content", ["address: ray://evil:10001", "prune: true", "notify: https://evil.example/x"])
def test_found_file_may_not_reach_out_or_remove(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / FILE).write_text(content)
    monkeypatch.chdir(tmp_path)
    name = content.partition(":")[0]
    with pytest.raises(SettingsError, match=f"{FILE} sets {name}, .* --settings {FILE}"):
        load_settings()
    assert getattr(load_settings(FILE), name)


def test_found_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    (tmp_path / FILE).write_text("replicas: 3")
    monkeypatch.chdir(tmp_path)
    assert load_settings().replicas == 3
    assert FILE in caplog.text


def test_keyword_arguments_have_the_types_of_settings():
    types = get_type_hints(SettingArguments)
    assert types.keys() == Settings.model_fields.keys()
    for name in types.keys() - {"notify", "wait_for", "s3"}:  # given as text and mappings
        assert types[name] == Settings.model_fields[name].annotation, name
