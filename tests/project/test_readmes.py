"""READMEs list labels, formats, columns, commands and settings of the code, and their links lead to files."""

import re
import subprocess
import sys

import pytest

from craft_ray.core.labels import LABELS
from craft_ray.core.schema import DOCUMENTS, ENTITIES, REASONS, SHARDS
from craft_ray.core.settings import Settings
from craft_ray.export.formats import EXPORTERS
from craft_ray.readers import READERS
from tests.support.readmes import ROOT, TABLES

_LISTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
TRACKED = _LISTED.stdout.splitlines()
PAGES = [name for name in TRACKED if name.endswith(".md") and not re.search(r"_model/|models/|CHANGELOG", name)]
ROOMS = sorted(path.parent for path in (ROOT / "craft_ray").glob("*/__init__.py"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_labels_reasons_formats_and_columns_are_listed():
    for label in LABELS:
        assert f"| {label.name} | {label.layer} | {label.ontology} |" in text("README.md")
    reasons = text("craft_ray/tables/README.md").split("| reason | what it means |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", reasons, re.MULTILINE)) == REASONS
    for reader in READERS:
        assert f"| `{reader.name}` |" in text("craft_ray/readers/README.md")
    for format in EXPORTERS:
        assert f"| `{format}` |" in text("craft_ray/export/README.md")
    for column in (*DOCUMENTS.names, *ENTITIES.names, *SHARDS.names):
        assert f"`{column}`" in text("craft_ray/tables/README.md")


@pytest.mark.parametrize("page", TABLES)
def test_tables_are_up_to_date(page: str):
    assert TABLES[page]() in text(page), "run python -m tests.support.readmes"


def test_the_example_of_settings_is_valid():
    import yaml

    example = text("craft_ray/annotation/README.md").split("```yaml\n")[1].split("```")[0]
    assert Settings.model_validate(yaml.safe_load(example)).replicas == 8


def test_the_first_page_is_short():
    assert len(text("README.md").splitlines()) <= 120


def test_every_room_has_a_readme():
    tree = text("craft_ray/README.md").split("The rule for imports")[0]
    assert set(re.findall(r"^    (\w+)/ ", tree, re.MULTILINE)) >= {room.name for room in ROOMS}
    assert [room.name for room in ROOMS if not (room / "README.md").is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL))
    here = (ROOT / page).parent
    assert [link for link in links if "://" not in link and not (here / link).exists()] == []


def test_jobs_run_commands():
    for job in (ROOT / "jobs").glob("*.py"):
        done = subprocess.run([sys.executable, job, "--help"], capture_output=True, text=True, check=True)
        command = {"benchmark": "bench"}.get(job.stem, job.stem)
        assert f" {command} " in done.stdout
