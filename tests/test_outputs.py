"""`craft_ray.Output` answers what the commands do."""

import gzip
import json
from pathlib import Path

import pytest

import craft_ray
from craft_ray.core.errors import SettingsError
from tests.support.ontologies import no_lexicon_ships, write_grounded_output  # noqa: F401

pytestmark = pytest.mark.usefixtures("no_lexicon_ships")


@pytest.fixture
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grounded_output(tmp_path_factory.mktemp("outputs"))


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["top", "--label", "taxon", "-n", "3"], lambda tables: tables.top("taxon", limit=3)),
        (["top", "--under", "NCBITaxon:40674"], lambda tables: tables.top(under="NCBITaxon:40674")),
        (["top", "--concepts", "--by", "documents"], lambda tables: tables.top(concepts=True, by="documents")),
        (["top", "--concepts", "--by", "year"], lambda tables: tables.top(concepts=True, by="year")),
        (["pairs", "--labels", "Taxon,Taxon", "--at-least", "1"], lambda t: t.pairs("Taxon", "Taxon", at_least=1)),
        (
            ["pairs", "--labels", "Taxon,Taxon", "--within", "document", "--by", "npmi"],
            lambda tables: tables.pairs("Taxon", "Taxon", within="document", by="npmi"),
        ),
    ],
)
def test_tables_are_those_of_the_commands(command, output: Path, arguments: list[str], answer):
    name, *options = arguments
    rows = answer(craft_ray.open(output)).to_pylist()
    assert rows == command(name, output, *options, "--json").summary != []


def test_diff_report_and_verify(command, output: Path, tmp_path: Path):
    tables = craft_ray.open(output)
    before = tables.at(0)
    assert tables.diff(0) == command("diff", output, "--from", "0", "--json").summary
    assert before.versions["documents"] == 0
    assert before.top().num_rows == 0 < tables.top().num_rows  # the tables were made empty
    assert Path(tables.report(tmp_path / "page.html", samples=2)["html"]).stat().st_size > 0
    checks = tables.verify().to_pylist()
    assert checks == command("verify", output, "--json").summary["checks"]
    assert sum(check["faults"] for check in checks) == 0


@pytest.mark.parametrize(
    ("selection", "options", "ids"),
    [
        ({"under": "NCBITaxon:40674"}, ["--under", "NCBITaxon:40674"], {"NCBITaxon:10090"}),
        ({"concept": ["NCBITaxon:4932"]}, ["--concept", "NCBITaxon:4932"], {"NCBITaxon:4932"}),
        (
            {"concept": "NCBITaxon:4932", "under": ["NCBITaxon:40674"]},
            ["--concept", "NCBITaxon:4932", "--under", "NCBITaxon:40674"],
            {"NCBITaxon:10090", "NCBITaxon:4932"},
        ),
    ],
)
def test_export_of_concepts(command, output: Path, tmp_path: Path, selection: dict, options: list[str], ids: set[str]):
    manifest = craft_ray.open(output).export(tmp_path / "api", "jsonl", **selection)
    done = command("export", output, tmp_path / "command", "--to", "jsonl", *options, "--json")
    assert done.code == 0, done.stderr
    assert done.summary["entities"] == manifest["entities"]
    assert done.summary["selection"] == manifest["selection"]
    for folder in ("api", "command"):
        lines = gzip.decompress((tmp_path / folder / "part-00000.jsonl.gz").read_bytes()).splitlines()
        assert {entity["concept_id"] for line in lines for entity in json.loads(line)["entities"]} == ids


def test_what_does_not_exist_is_named(output: Path, tmp_path: Path):
    tables = craft_ray.open(output)
    with pytest.raises(SettingsError, match=r"no label Taxom, .*; did you mean Taxon\?"):
        tables.top("Taxom")
    with pytest.raises(SettingsError, match="CHEBI:1"):
        tables.top(under="CHEBI:1")
    with pytest.raises(SettingsError, match=r"is NCBITaxon:40673 or below it; did you mean NCBITaxon:40674\?"):
        tables.export(tmp_path / "x", "csv", under="NCBITaxon:40673")
    with pytest.raises(SettingsError, match="there is no document PMID:9"):
        tables.export(tmp_path / "x", "csv", doc_id="PMID:9")
    assert not (tmp_path / "x").exists()
