from pathlib import Path

import pytest

from craft_ray.report.queries import pairs, top_concepts, unknown_classes
from craft_ray.report.report import write_report
from tests.support.ontologies import MAMMALS, no_lexicon_ships, obo_file, write_grounded_output  # noqa: F401
from tests.support.outputs import open_tables, table

pytestmark = pytest.mark.usefixtures("no_lexicon_ships")


@pytest.fixture
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grounded_output(tmp_path_factory.mktemp("outputs"))


def test_top_concepts(output: Path):
    with open_tables(output).connect("entities", "ancestors", "xrefs") as connection:
        every = {row["concept_id"]: row for row in top_concepts(connection).to_pylist()}
        mice = table(output, "entities")["concept_id"].to_pylist().count("NCBITaxon:10090")
        assert every["NCBITaxon:10090"]["mentions"] == mice > 0
        assert every["NCBITaxon:10090"]["spellings"] == "mouse"
        below = top_concepts(connection, under=["NCBITaxon:40674"]).to_pylist()
        assert [row["concept_id"] for row in below] == ["NCBITaxon:10090"]
        assert top_concepts(connection, under=["MESH:D008322"]).to_pylist() == below
        assert unknown_classes(connection, ["MESH:D008322", "MESH:D000001"]) == ["MESH:D000001"]
        assert unknown_classes(connection, ["NCBITaxon:40674", "CL:0000540"]) == ["CL:0000540"]
        together = pairs(connection, "Taxon", "Taxon", at_least=1, concepts=True).to_pylist()
        assert [(row["first"], row["second"]) for row in together] == [
            ("Mus musculus NCBITaxon:10090", "Saccharomyces cerevisiae NCBITaxon:4932")
        ]


def test_report_lists_concepts(output: Path, tmp_path: Path):
    write_report(open_tables(output), str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    section = page.split('id="concepts"')[1].split("</section>")[0]
    rows = table(output, "entities").to_pylist()
    taxa = [row["concept_id"] for row in rows if row["label"] == "Taxon"]
    share = 100 * sum(concept is not None for concept in taxa) / len(taxa)
    assert f"{share:.0f} % of its mentions have an id" in section
    assert "Saccharomyces cerevisiae" in section
    assert "NCBITaxon:4932" in section
