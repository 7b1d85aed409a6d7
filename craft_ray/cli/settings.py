"""`craft-ray settings`."""

import json
from typing import Any

from craft_ray.cli.console import add_row, console, plain_table
from craft_ray.cli.model_options import options_from
from craft_ray.cli.options import PANELS, Json, SettingsFile
from craft_ray.core.settings import Settings, setting_descriptions, settings_and_origins


@options_from(Settings, panels=PANELS)
def settings(settings: SettingsFile = None, as_json: Json = False, **chosen: Any) -> None:
    """List all settings, with the values that `annotate` would use here and their origins."""
    loaded, origins = settings_and_origins(settings, **chosen)
    values = loaded.model_dump(mode="json")
    rows = []
    for name, _, meaning in setting_descriptions():
        key = tuple(name.split("."))
        value: Any = values
        for part in key:
            value = value[part]
        rows.append({"setting": name, "value": value, "from": origins.get(key, "default"), "meaning": meaning})
    if as_json:
        print(json.dumps(rows))
        return
    table = plain_table("setting", "value", "from", "meaning")
    for row in rows:
        add_row(table, row["setting"], json.dumps(row["value"]), row["from"], row["meaning"])
    console().print(table)
