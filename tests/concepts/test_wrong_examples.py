"""Mentions that once got a wrong id from the shipped lexicon, in texts of other kinds than CRAFT's articles."""

import pytest

from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.settings import Settings
from tests.support.mentions import mention_table
from tests.support.outputs import STORAGE


@pytest.fixture(scope="module")
def shipped() -> Grounder:
    return load_grounder(Settings(), STORAGE)


@pytest.mark.parametrize(
    ("text", "label", "mention", "right"),
    [
        ("Doxorubicin (DOX) and DOX toxicity", "Chemical", "DOX", "CHEBI:28748"),
        ("DOX toxicity in rats", "Chemical", "DOX", "CHEBI:28748"),
        ("Endothelial cells (EC) were cultured.", "Cell", "EC", "CL:0000115"),
        ("Folic acid (FA) was given.", "Chemical", "FA", "CHEBI:27470"),
        ("FA (folic acid) was given.", "Chemical", "FA", "CHEBI:27470"),
        ("FA was given.", "Chemical", "FA", None),
        ("Tricyclic antidepressants (TCA) were given.", "Chemical", "TCA", None),
        ("Tissue factor (TF) binds factor VII.", "Protein", "TF", "PR:000001940"),
        ("NF-kappaB activation; NF-κB in macrophages", "Gene", "NF", None),
        ("Erythropoietin (Epo) and the Epo receptor (Epo-R).", "Protein", "Epo-R", "PR:000007142"),
        ("Spleen tyrosine kinase (Syk) was found.", "Protein", "Spleen tyrosine kinase", "PR:000003065"),
        ("Rare goblet cells (RGC) were seen.", "Cell", "Rare goblet cells", None),
        ("mTOR is a kinase.", "Protein", "mTOR", None),
        ("The protein E1A of adenovirus", "Protein", "E1A", None),
        ("Thrombin activates platelets.", "Protein", "Thrombin", "PR:000007299"),
        ("EGFR signalling and the insulin receptor", "Protein", "EGFR", "PR:000006933"),
        ("Prothrombin (F2) is cut.", "Protein", "Prothrombin", "PR:000007299"),
        ("The beta subunit", "Protein", "beta", None),
        ("T cells and T", "Protein", "T", None),
        ("T was added.", "Chemical", "T", None),
        ("von Willebrand patients", "Disease", "von Willebrand", "MONDO:0024574"),
        ("The b-catenin pathway", "Protein", "b-catenin", "PR:000002198"),
        ("NF-kB and ERK1/2", "Protein", "ERK1/2", "PR:000000104"),
        ("Maize plants", "Taxon", "maize", "NCBITaxon:4577"),
        ("Cytosolic calcium", "Chemical", "calcium", "CHEBI:29108"),
        ("Depressive disorder and preeclampsia", "Disease", "preeclampsia", "MONDO:0005081"),
    ],
)
def test_ids_of_the_shipped_lexicon(shipped: Grounder, text: str, label: str, mention: str, right: str | None):
    (row,) = shipped.add_concepts(mention_table((label, mention)), [text]).to_pylist()
    assert row["concept_id"] == right
