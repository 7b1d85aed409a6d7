"""Names of ontologies as replacements."""

import gzip
from pathlib import Path

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.training.ontology_names import ontology_names

OBO = """format-version: 1.2
synonymtypedef: abbreviation "an abbreviation"

[Term]
id: X:1
name: TNF-alpha
synonym: "cachectin" RELATED []
synonym: "a \\"quoted\\" one" EXACT []
synonym: "far too broad" BROAD []

[Term]
id: X:2
name: a name of far too many words for a sentence

[Term]
id: X:3
name: TNF-alpha
"""


@pytest.mark.parametrize("compressed", [False, True])
def test_short_names_and_synonyms(tmp_path: Path, compressed):
    file = tmp_path / ("x.obo.gz" if compressed else "x.obo")
    file.write_bytes(gzip.compress(OBO.encode()) if compressed else OBO.encode())
    names = ["TNF-alpha", "cachectin", 'a "quoted" one']
    assert ontology_names({"Protein": [str(file)]}) == {"Protein": names}


def test_file_without_names_is_refused(tmp_path: Path):
    (tmp_path / "x.obo").write_text("format-version: 1.2\n")
    with pytest.raises(SettingsError, match="no name of at most"):
        ontology_names({"Protein": [str(tmp_path / "x.obo")]})
    with pytest.raises(SettingsError, match="cannot read the ontology"):
        ontology_names({"Protein": [str(tmp_path / "none.obo")]})
