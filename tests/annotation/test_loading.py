"""A run's model, and what a run imports before it has anything to do."""

import subprocess
import sys

import pytest

from craft_ray.annotation.loading import ModelLoading
from craft_ray.annotation.run import annotate
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings, load_settings
from craft_ray.storage.storage import Storage


def test_nothing_heavy_is_imported_before_there_is_work():
    ask = (
        "import sys, craft_ray.annotation.run; from craft_ray.model.loading import load_checkpoint; load_checkpoint();"
        "print(*({'ray', 'torch', 'transformers', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("model", ["/nowhere", "./nowhere", "a/b/c", "~/nowhere"])
def test_missing_models_fail_at_once(model):
    with pytest.raises(SettingsError, match="there is no model folder"):
        ModelLoading(load_settings(model=model), Storage(S3Settings()))


@pytest.mark.parametrize("setting", [{"engine": "tensorflow"}, {"model": "/nowhere"}])
def test_a_bad_setting_leaves_no_output(tmp_path, setting):
    (tmp_path / "a.txt").write_text("Pax6")
    with pytest.raises(SettingsError):
        annotate([str(tmp_path / "a.txt")], str(tmp_path / "out"), load_settings(**setting))
    assert not (tmp_path / "out").exists()
