"""What a run imports and when, and models that it refuses."""

import ast
import inspect
from concurrent.futures import wait
from pathlib import Path

import pytest

from craft_ray.annotation import context, passes, run
from craft_ray.annotation.context import ModelLoading
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings, Settings, load_settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.storage import Storage


def late_imports(module: object) -> set[str]:
    """Modules that functions of a module import when they are called."""
    functions = (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.FunctionDef))
    return {
        node.module
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }


def test_nothing_is_imported_after_connecting_to_ray():
    """A node that shares the driver's machine may have removed the package's files by then."""
    assert late_imports(run) == {"craft_ray.annotation.passes"}
    assert late_imports(passes) == set()
    connect = inspect.getsource(context.RunContext.connect)
    assert connect.index("craft_ray.annotation.passes") < connect.index("ray_session")


def test_a_model_that_is_refused_early_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Even if loading has failed before the output is looked at."""

    class Loaded(ModelLoading):
        def __init__(self, settings: Settings, storage: Storage) -> None:
            super().__init__(settings, storage)
            wait([self._checkpoint])

    monkeypatch.setattr(run, "ModelLoading", Loaded)
    (tmp_path / "in.txt").write_text("Pax6")
    settings = Settings(model="stand-in", model_sha256="0" * 64)
    with pytest.raises(SettingsError, match="not model_sha256"):
        run.annotate([str(tmp_path / "in.txt")], str(tmp_path / "out"), settings)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
    known = settings.model_copy(update={"model_sha256": load_checkpoint("stand-in").with_candidates().fingerprint})
    Loaded(known, Storage(S3Settings())).raise_early()


@pytest.mark.parametrize("model", ["/nowhere", "./nowhere", "a/b/c", "~/nowhere"])
def test_missing_models_fail_at_once(model):
    with pytest.raises(SettingsError, match="there is no model folder"):
        ModelLoading(load_settings(model=model), Storage(S3Settings()))
