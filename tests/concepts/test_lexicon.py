from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.concepts import packing
from craft_ray.concepts.forms import keys
from craft_ray.concepts.hierarchy import lineage, wang_similarity
from craft_ray.concepts.lexicon import CORPUS, Lexicon, merged, with_fingerprint
from craft_ray.concepts.packing import NotALexiconError, pack, unpack, unpack_cached
from craft_ray.concepts.terms import Term
from tests.support.ontologies import OBO, builder

NEWER = """format-version: 1.2
data-version: 2

[Term]
id: CL:0000540
name: neurone
xref: NEW:1
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


def test_sixteen_bytes_per_name():
    made = lexicon()
    columns = (made.key, made.folded, made.exact, made.tier, made.concept)
    assert sum(column.itemsize for column in columns) == 16


def test_strings_of_several_corpora():
    """Strings of an earlier corpus take precedence. An id of MeSH stands for the concepts that refer to it."""
    made = builder()
    made.add_strings({("grey cell", "CL:0000540"): 1, ("pale cell", "CL:0000540"): 1, ("pale cell", "CL:0000000"): 1})
    made.add_strings(
        {("grey cell", "CL:0000000"): 9, ("pale cell", "CL:0000000"): 9, ("round cell", "MESH:D009474"): 3}
    )
    made.add_strings({("odd cell", "MESH:D009474"): 2, ("odd cell", "MESH:D000000"): 1})
    made.add_term(Term("CL:0000740", xrefs=("MESH:D009474",)))  # one more that it means
    made.add_strings({("neuron", "MESH:D009474"): 1})
    of = made.lexicon()
    (strings,) = (of.tier == CORPUS).nonzero()
    found = {(int(of.key[n]), of.ids[of.concept[n]].as_py()) for n in strings.tolist()}
    grey, rounded, neuron = keys(["grey cell", "round cell", "neuron"]).key.tolist()
    assert found == {(grey, "CL:0000540"), (rounded, "CL:0000540"), (neuron, "CL:0000540")}, "and not CL:0000740"


def test_pack_and_unpack():
    made = lexicon(grey_cell="CL_0000540")
    content = pack(made)
    again = unpack(content)
    assert with_fingerprint(again).fingerprint == made.fingerprint == again.fingerprint
    assert again.names.equals(made.names)
    assert (again.parent_start == made.parent_start).all()
    assert again.xrefs.to_pylist() == ["MESH:D009474", "MESH:D051379"]
    assert again.ids[int(again.xref_concept[0])].as_py() == "CL:0000540"
    assert pack(again) == content


def test_unpacked_columns_are_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    content = pack(lexicon(grey_cell="CL_0000540"))
    first = unpack_cached(content)
    monkeypatch.setattr(packing, "unpack", lambda content: pytest.fail("unpacked again"))
    again = unpack_cached(content)
    assert pack(first) == pack(again) == content
    assert again.fingerprint == with_fingerprint(again).fingerprint
    assert all(getattr(again, name).dtype == getattr(first, name).dtype for name in ("key", "parent", "prior"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and more", OBO.encode()])
def test_unpack_refuses_other_bytes(content: bytes):
    with pytest.raises(NotALexiconError):
        unpack_cached(content)


def test_merge_replaces_ontologies_and_keeps_the_corpus():
    old = lexicon(grey_cell="CL_0000540", house_mouse="NCBITaxon_10090")
    both = merged(lexicon(NEWER), old)
    neuron = both.indices(["CL:0000540"])[0]
    assert both.names[neuron].as_py() == "neurone"
    assert names_of(both, "CL:0000540") == 2  # neurone, and the corpus's grey cell
    assert both.indices(["CL:0000740"]).tolist() == [-1]
    assert names_of(both, "NCBITaxon:10090") == 4
    assert both.ids[int(both.parent[both.parent_start[neuron]])].as_py() == "CL:0000002"
    refers = zip(both.xrefs.to_pylist(), both.ids.take(pa.array(both.xref_concept)).to_pylist(), strict=True)
    assert list(refers) == [
        ("MESH:D009474", "CL:0000540"),
        ("MESH:D051379", "NCBITaxon:10090"),
        ("NEW:1", "CL:0000540"),
    ]
    assert (both.key[1:] >= both.key[:-1]).all()
    assert both.tier[both.concept == neuron].min() == CORPUS
    assert len(both.parent_start) == len(both.ids) + 1 == len(both.prior) + 1 == len(both.taxon) + 1
    assert np.array_equal(np.sort(both.parent), np.sort(both.parent[both.parent < len(both.ids)]))


def test_wang_similarity():
    made = lexicon()
    cell, neuron, ganglion, gene = made.indices(["CL:0000000", "CL:0000540", "CL:0000740", "SO:0000704"]).tolist()
    assert wang_similarity(made, neuron, neuron) == pytest.approx(1)
    assert wang_similarity(made, neuron, cell) == pytest.approx((0.65 + 1) / (1.65 + 1))
    shared = (0.65 + 1) + (0.65**2 + 0.65)
    assert wang_similarity(made, ganglion, neuron) == pytest.approx(shared / (1 + 0.65 + 0.65**2 + 1.65))
    assert wang_similarity(made, neuron, gene) == 0


def test_lineage_has_least_distances():
    """Concepts with several paths to one class, and with a cycle of parents."""
    parents = {1: (), 2: (1,), 3: (2, 1), 4: (3, 2), 5: (6,), 6: (7,), 7: (6,), 8: (4, 7)}
    stanzas = [
        f"[Term]\nid: CL:{n}\nname: class {n}\n" + "".join(f"is_a: CL:{above}\n" for above in some)
        for n, some in parents.items()
    ]
    made = builder("format-version: 1.2\n\n" + "\n".join(stanzas)).lexicon()
    found = lineage(made, made.indices(["CL:8", "CL:4", "CL:5", "CL:8"]))
    rows = [
        tuple(int(made.ids[n].as_py()[3:]) for n in pair) for pair in zip(found.concept, found.ancestor, strict=True)
    ]
    assert {pair: int(distance) for pair, distance in zip(rows, found.distance, strict=True)} == {
        **{(4, 4): 0, (4, 3): 1, (4, 2): 1, (4, 1): 2},
        **{(5, 5): 0, (5, 6): 1, (5, 7): 2},
        **{(8, 8): 0, (8, 4): 1, (8, 7): 1, (8, 3): 2, (8, 2): 2, (8, 6): 2, (8, 1): 3},
    }
    assert len(rows) == 14
    assert len(lineage(made, np.empty(0, np.int64)).concept) == 0
