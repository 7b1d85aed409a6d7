from pathlib import Path

import pytest

from craft_ray.annotation.ground import ground
from craft_ray.cli.show import show
from craft_ray.core.settings import Settings
from craft_ray.report.changes import compare
from craft_ray.report.queries import pairs, top_concepts, unknown_classes
from craft_ray.report.report import write_report
from tests.support.ontologies import MAMMALS, no_lexicon_ships, obo_file, write_grounded_output  # noqa: F401
from tests.support.outputs import open_tables, table

NEWER = MAMMALS.replace('synonym: "mouse" EXACT genbank_common_name []', "").replace(
    "name: Mammalia", 'name: Mammalia\nsynonym: "mouse" EXACT []'
)


pytestmark = pytest.mark.usefixtures("no_lexicon_ships")


@pytest.fixture
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grounded_output(tmp_path_factory.mktemp("outputs"))


def counted(output: Path, *concepts: str) -> int:
    return sum(row["concept_id"] in concepts for row in table(output, "entities").to_pylist())


def test_top_concepts(output: Path):
    with open_tables(output).connect("entities", "ancestors", "xrefs") as connection:
        every = {row["concept_id"]: row for row in top_concepts(connection).to_pylist()}
        assert every["NCBITaxon:10090"]["mentions"] == counted(output, "NCBITaxon:10090") > 0
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


def test_show_lists_concepts(output: Path, capsys: pytest.CaptureFixture[str]):
    show("PMID:000003", in_=str(output), scores=True)
    assert "concept_id" in capsys.readouterr().out


def test_changes_by_a_new_ontology(output: Path, tmp_path: Path):
    mice = counted(output, "NCBITaxon:10090")
    before = open_tables(output)
    ground(str(output), Settings(ontology=(obo_file(tmp_path, NEWER),), keep_versions=2))
    changes = compare(before, open_tables(output))
    assert changes["concepts"]["gained"] == [
        {"label": "Taxon", "concept_id": "NCBITaxon:40674", "concept": "Mammalia", "change": mice}
    ]
    assert changes["concepts"]["lost"] == [
        {"label": "Taxon", "concept_id": "NCBITaxon:10090", "concept": "Mus musculus", "change": -mice}
    ]
    assert changes["mentions"] == {"gained": [], "lost": []}
    assert not any(changes["documents"][kind] for kind in ("added", "revised", "deleted", "vanished"))


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
