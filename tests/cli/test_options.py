"""Options made of the fields of a model."""

import inspect
from typing import Any, Literal

import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from craft_ray.cli.annotate import annotate
from craft_ray.cli.options import options_from


class Inner(BaseModel):
    depth: int = Field(default=1, description="not an option")


class Dish(BaseModel):
    salt: float | None = Field(default=None, description="grams of salt; default: to taste")
    heat: Literal["low", "high"] = Field(default="low", description="heat of the stove")
    cover: bool = Field(default=True, description="put the lid on")
    share: dict[str, float] = Field(default={}, description="share of each guest")
    inner: Inner = Inner()


def command() -> tuple[typer.Typer, list[dict[str, Any]]]:
    app, taken = typer.Typer(), []

    @app.command()
    @options_from(Dish)
    def cook(what: str, cover: bool = False, **chosen: Any) -> None:
        taken.append({"what": what, "cover": cover, **chosen})

    return app, taken


def test_options_of_fields():
    app, taken = command()
    for options in (["--salt", "2.5", "--heat", "high", "--share", "A=1", "--share", "B=2"], []):
        assert CliRunner().invoke(app, ["soup", *options]).exit_code == 0
    assert taken == [
        {"what": "soup", "cover": False, "salt": 2.5, "heat": "high", "share": ["A=1", "B=2"]},
        {"what": "soup", "cover": False, "salt": None, "heat": None, "share": None},
    ]


def test_help_has_every_setting_in_a_panel_after_the_ten_first_options():
    options = inspect.signature(annotate).parameters.values()
    panels = [option.annotation.__metadata__[0].rich_help_panel for option in options if option.name != "inputs"]
    assert "Settings" not in panels
    assert sum(panel in (None, "Options") for panel in panels) == 10


def test_help():
    help = CliRunner().invoke(command()[0], ["--help"], env={"COLUMNS": "160"}).output
    assert "Grams of salt." in help
    assert "to taste" in help
    assert "low|high" in help
    assert "depth" not in help
