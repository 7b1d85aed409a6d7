"""Find biomedical entities in any number of documents.

    import craft_ray
    craft_ray.annotate(["pubmed/updatefiles"], "tables")
    craft_ray.Tagger.load().tag("Pax6 is expressed in the mouse eye.")

What is slow to import (ray, torch) is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from craft_ray.core.version import __version__

if TYPE_CHECKING:
    from craft_ray.model.tagger import Tagger

__all__ = ["Tagger", "__version__", "annotate"]


def annotate(inputs: list[str] | str, output: str, **settings: Any) -> dict[str, Any]:
    """Annotate documents into the tables of an output, as `craft-ray annotate` does; returns the run's summary.

    settings: fields of `craft_ray.core.settings.Settings`, such as model="...", replicas=2, format="jats".

    Raises SettingsError, RunError or Stopped of `craft_ray.core.errors`.
    """
    from craft_ray.annotation.run import annotate as run
    from craft_ray.core.settings import load_settings

    return run([inputs] if isinstance(inputs, str) else inputs, output, load_settings(**settings))


def __getattr__(name: str) -> Any:
    if name == "Tagger":
        from craft_ray.model.tagger import Tagger

        return Tagger
    raise AttributeError(name)
