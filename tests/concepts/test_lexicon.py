import numpy as np
import pytest

from craft_ray.concepts.hierarchy import ancestors, lineage, wang_similarity
from craft_ray.concepts.lexicon import CORPUS, Lexicon
from craft_ray.concepts.merge import merged
from craft_ray.concepts.packing import NotALexiconError, pack, unpack, with_fingerprint
from tests.support.ontologies import OBO, builder

NEWER = """format-version: 1.2
data-version: 2

[Term]
id: CL:0000540
name: neurone
is_a: CL:0000002

[Term]
id: CL:0000002
name: electric cell
"""


def lexicon(text: str = OBO, **strings: str) -> Lexicon:
    made = builder(text)
    made.add_strings({(name.replace("_", " "), concept.replace("_", ":")): 1 for name, concept in strings.items()})
    return made.lexicon()


def names_of(of: Lexicon, concept_id: str) -> int:
    return int((of.concept == of.indices([concept_id])[0]).sum())


def test_a_name_takes_sixteen_bytes() -> None:
    made = lexicon()
    columns = (made.key, made.folded, made.exact, made.tier, made.concept)
    assert sum(column.itemsize for column in columns) == 16


def test_a_packed_lexicon_is_the_same_lexicon() -> None:
    made = lexicon(grey_cell="CL_0000540")
    content = pack(made)
    again = unpack(content)
    assert with_fingerprint(again).fingerprint == made.fingerprint == again.fingerprint
    assert again.names.equals(made.names)
    assert (again.parent_start == made.parent_start).all()
    assert pack(again) == content


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and more", OBO.encode()])
def test_other_bytes_are_no_lexicon(content: bytes) -> None:
    with pytest.raises(NotALexiconError):
        unpack(content)


def test_a_newer_ontology_replaces_an_older_and_keeps_strings_of_a_corpus() -> None:
    old = lexicon(grey_cell="CL_0000540", house_mouse="NCBITaxon_10090")
    both = merged(lexicon(NEWER), old)
    neuron = both.indices(["CL:0000540"])[0]
    assert both.names[neuron].as_py() == "neurone"
    assert names_of(both, "CL:0000540") == 2  # neurone, and the corpus's grey cell
    assert both.indices(["CL:0000740"]).tolist() == [-1]
    assert names_of(both, "NCBITaxon:10090") == 4
    assert both.ids[int(both.parent[both.parent_start[neuron]])].as_py() == "CL:0000002"
    assert (both.key[1:] >= both.key[:-1]).all()
    assert both.tier[both.concept == neuron].min() == CORPUS
    assert len(both.parent_start) == len(both.ids) + 1 == len(both.prior) + 1 == len(both.specific) + 1
    assert np.array_equal(np.sort(both.parent), np.sort(both.parent[both.parent < len(both.ids)]))


def test_ancestors_have_the_fewest_steps() -> None:
    made = lexicon()
    cell, neuron, ganglion = made.indices(["CL:0000000", "CL:0000540", "CL:0000740"]).tolist()
    assert ancestors(made, ganglion) == {ganglion: 0, neuron: 1, cell: 2}


def test_similarity_is_that_of_wang() -> None:
    made = lexicon()
    cell, neuron, ganglion, gene = made.indices(["CL:0000000", "CL:0000540", "CL:0000740", "SO:0000704"]).tolist()
    assert wang_similarity(made, neuron, neuron) == pytest.approx(1)
    assert wang_similarity(made, neuron, cell) == pytest.approx((0.65 + 1) / (1.65 + 1))
    shared = (0.65 + 1) + (0.65**2 + 0.65)
    assert wang_similarity(made, ganglion, neuron) == pytest.approx(shared / (1 + 0.65 + 0.65**2 + 1.65))
    assert wang_similarity(made, neuron, gene) == 0


def test_the_lineage_of_many_concepts_is_that_of_each() -> None:
    """Several ways to one class, of which the shortest counts, and classes that go round in a circle."""
    terms = {1: (), 2: (1,), 3: (2, 1), 4: (3, 2), 5: (6,), 6: (7,), 7: (6,), 8: (4, 7)}
    stanzas = [
        f"[Term]\nid: CL:{n}\nname: class {n}\n" + "".join(f"is_a: CL:{above}\n" for above in parents)
        for n, parents in terms.items()
    ]
    made = builder("format-version: 1.2\n\n" + "\n".join(stanzas)).lexicon()
    every = np.arange(len(made.ids))
    found: dict[int, dict[int, int]] = {n: {} for n in every.tolist()}
    for concept, ancestor, distance in zip(*lineage(made, every), strict=True):
        assert ancestor not in found[int(concept)]
        found[int(concept)][int(ancestor)] = int(distance)
    assert found == {n: ancestors(made, n) for n in every.tolist()}
    assert len(lineage(made, every[:0]).concept) == 0
