"""A run's model."""

import pytest

from craft_ray.annotation.context import ModelLoading
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings, load_settings
from craft_ray.storage.storage import Storage


@pytest.mark.parametrize("model", ["/nowhere", "./nowhere", "a/b/c", "~/nowhere"])
def test_missing_models_fail_at_once(model):
    with pytest.raises(SettingsError, match="there is no model folder"):
        ModelLoading(load_settings(model=model), Storage(S3Settings()))
