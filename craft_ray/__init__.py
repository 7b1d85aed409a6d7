"""Find biomedical entities in any number of documents.

    import craft_ray
    craft_ray.annotate(["pubmed/updatefiles"], "tables")
    craft_ray.Tagger.load().tag("Pax6 is expressed in the mouse eye.")

What is slow to import (ray, torch) is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Tagger", "annotate"]

if TYPE_CHECKING:
    from craft_ray.tagger import Tagger


def annotate(inputs: list[str] | str, output: str, **settings: Any) -> dict[str, Any]:
    """Annotate documents into the tables of an output, as `craft-ray annotate` does; returns the run's summary.

    settings: fields of `craft_ray.settings.Settings`, such as model="...", replicas=2, format="jats".

    Raises SettingsError, RunError or Stopped of `craft_ray.errors`.
    """
    from craft_ray.annotation import annotate as run
    from craft_ray.settings import load_settings

    return run([inputs] if isinstance(inputs, str) else inputs, output, load_settings(**settings))


def __getattr__(name: str) -> Any:
    if name == "Tagger":
        from craft_ray.tagger import Tagger

        return Tagger
    raise AttributeError(name)
