"""Questions about concepts, and what a new ontology changed, over tables with ids."""

from pathlib import Path

import pytest

from craft_ray.annotation.ground import ground
from craft_ray.cli.show import show
from craft_ray.cli.top import top
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import Settings
from craft_ray.report.changes import compare
from craft_ray.report.queries import has_concepts, pairs, top_concepts, unknown_classes
from craft_ray.report.report import write_report
from craft_ray.tables.database import database, views
from craft_ray.tables.snapshots import open_concepts, open_snapshot
from tests.support.ontologies import OBO, no_lexicon_ships, obo_file  # noqa: F401  # a fixture
from tests.support.outputs import STORAGE, commit, numbered_document, table

pytestmark = pytest.mark.usefixtures("no_lexicon_ships")
OLDER = OBO + "\n[Term]\nid: NCBITaxon:40674\nname: Mammalia\n"
OLDER = OLDER.replace('synonym: "mice" EXACT common_name []', 'synonym: "mice" EXACT []\nis_a: NCBITaxon:40674')
NEWER = OLDER.replace('synonym: "mouse" EXACT genbank_common_name []', "").replace(
    "name: Mammalia", 'name: Mammalia\nsynonym: "mouse" EXACT []'
)


@pytest.fixture
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("concepts")
    commit(folder / "out", [numbered_document(n) for n in range(30)])
    ground(str(folder / "out"), Settings(ontology=(obo_file(folder, OLDER),), keep_versions=2))
    return folder / "out"


def counted(output: Path, *concepts: str) -> int:
    return sum(row["concept_id"] in concepts for row in table(output, "entities").to_pylist())


def test_top_concepts_counts_every_spelling_and_classes_below(output: Path):
    snapshot = open_snapshot(STORAGE, str(output))
    with database(**views(snapshot), **open_concepts(STORAGE, str(output))) as connection:
        assert has_concepts(connection)
        every = {row["concept_id"]: row for row in top_concepts(connection).to_pylist()}
        assert every["NCBITaxon:10090"]["mentions"] == counted(output, "NCBITaxon:10090") > 0
        assert every["NCBITaxon:10090"]["spellings"] == "mouse"
        below = top_concepts(connection, under=["NCBITaxon:40674"]).to_pylist()
        assert [row["concept_id"] for row in below] == ["NCBITaxon:10090"]
        assert unknown_classes(connection, ["NCBITaxon:40674", "CL:0000540"]) == ["CL:0000540"]
        together = pairs(connection, "Taxon", "Taxon", at_least=1, concepts=True).to_pylist()
        assert [(row["first"], row["second"]) for row in together] == [
            ("Mus musculus NCBITaxon:10090", "Saccharomyces cerevisiae NCBITaxon:4932")
        ]


def test_the_commands_speak_of_concepts(output: Path, capsys: pytest.CaptureFixture[str]):
    top(str(output), under=["NCBITaxon:40674"], as_csv=True)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert "NCBITaxon:10090" in printed[1]
    with pytest.raises(SettingsError, match="CHEBI:1"):
        top(str(output), under=["CHEBI:1"])
    with pytest.raises(SettingsError, match=r"is NCBITaxon:40673 or below it; did you mean NCBITaxon:40674\?"):
        top(str(output), under=["NCBITaxon:40673"])
    show("PMID:000003", in_=str(output), scores=True)
    assert "concept_id" in capsys.readouterr().out


def test_a_new_ontology_shows_in_the_changes(output: Path, tmp_path: Path):
    mice = counted(output, "NCBITaxon:10090")
    before = open_snapshot(STORAGE, str(output))
    ground(str(output), Settings(ontology=(obo_file(tmp_path, NEWER),), keep_versions=2))
    changes = compare(before, open_snapshot(STORAGE, str(output)))
    assert changes["concepts"]["gained"] == [
        {"label": "Taxon", "concept_id": "NCBITaxon:40674", "concept": "Mammalia", "change": mice}
    ]
    assert changes["concepts"]["lost"] == [
        {"label": "Taxon", "concept_id": "NCBITaxon:10090", "concept": "Mus musculus", "change": -mice}
    ]
    assert changes["mentions"] == {"gained": [], "lost": []}
    assert not any(changes["documents"][kind] for kind in ("added", "revised", "deleted", "vanished"))


def test_tables_without_ids_are_told_of(tmp_path: Path):
    from deltalake import write_deltalake

    commit(tmp_path, [numbered_document(0)])
    rows = table(tmp_path, "entities")
    old = rows.drop_columns([name for name in rows.schema.names if name.startswith("concept") or name == "lexicon"])
    write_deltalake(f"{tmp_path}/entities", old, mode="overwrite", schema_mode="overwrite", partition_by=["label"])
    with pytest.raises(SettingsError, match="craft-ray ground"):
        top(str(tmp_path), concepts=True)


def test_the_report_has_the_most_frequent_concepts_and_the_share_with_an_id(output: Path, tmp_path: Path):
    write_report(STORAGE, str(output), str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    section = page.split('id="concepts"')[1].split("</section>")[0]
    rows = table(output, "entities").to_pylist()
    taxa = [row["concept_id"] for row in rows if row["label"] == "Taxon"]
    share = 100 * sum(concept is not None for concept in taxa) / len(taxa)
    assert f"{share:.0f} % of its mentions have an id" in section
    assert "Saccharomyces cerevisiae" in section
    assert "NCBITaxon:4932" in section
