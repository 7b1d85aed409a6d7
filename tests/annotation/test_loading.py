"""A run's model, and what a run imports before it has anything to do."""

import subprocess
import sys

import pytest

from craft_ray.annotation.loading import ModelLoading
from craft_ray.annotation.run import annotate
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings, load_settings
from craft_ray.storage.storage import Storage


def test_a_run_and_its_model_import_no_ray_and_no_torch_before_there_is_work():
    ask = (
        "import sys, craft_ray.annotation.run; from craft_ray.model.loading import load_checkpoint; load_checkpoint();"
        "print(*({'ray', 'torch', 'transformers', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("model", ["/nowhere", "./nowhere", "a/b/c", "~/nowhere"])
def test_what_can_be_no_model_is_told_before_anything_is_loaded(model):
    with pytest.raises(SettingsError, match="there is no model folder"):
        ModelLoading(load_settings(model=model), Storage(S3Settings()))


@pytest.mark.parametrize("setting", [{"engine": "tensorflow"}, {"model": "/nowhere"}])
def test_a_bad_setting_leaves_no_output(tmp_path, setting):
    (tmp_path / "a.txt").write_text("Pax6")
    with pytest.raises(SettingsError):
        annotate([str(tmp_path / "a.txt")], str(tmp_path / "out"), load_settings(**setting))
    assert not (tmp_path / "out").exists()
