"""Sentences and documents in memory, and readers of CRAFT and IOB."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import SettingsError
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import (
    Corpus,
    GoldDocument,
    Sentence,
    corpus_keys,
    mention_keys,
    split,
    text_key,
    to_sentences,
    without_overlap,
)
from craft_ray.training.craft import read_craft
from craft_ray.training.gold import read_sentences
from craft_ray.training.iob import read_iob
from tests.support.gold import gold, marked

ONTOLOGIES = ("SO", "CL", "PR", "GO_CC", "NCBITaxon", "CHEBI")


def craft(folder: Path, released: bool) -> Path:
    """A corpus of one article in either layout; Pax6 is a protein, "wild ... type" a sequence in two pieces."""
    spans = {"PR": [[(0, 4)]], "SO": [[(8, 12), (16, 20)]]}
    for ontology in ONTOLOGIES:
        annotations = "".join(
            "<annotation>" + "".join(f'<span start="{a}" end="{b}"/>' for a, b in pieces) + "</annotation>"
            for pieces in spans.get(ontology, [])
        )
        name = f"concept-annotation/{ontology}/{ontology}/knowtator/1.txt.knowtator.xml"
        file = folder / (name if released else f"standoff/{ontology}/1.xml")
        file.parent.mkdir(parents=True)
        file.write_text(f"<annotations>{annotations}</annotations>")
    text = folder / ("articles/txt/1.txt" if released else "txt/1.txt")
    text.parent.mkdir(parents=True)
    text.write_text("Pax6 in wild or type mice.")
    (folder / "idmap.tsv").write_text("1\tPMC1\n")  # does not make the folder an IOB corpus
    return folder


@pytest.mark.parametrize("released", [True, False])
def test_read_craft_in_both_layouts(tmp_path: Path, released):
    (document,) = read_craft(craft(tmp_path, released))
    assert document.mentions == (Mention(0, 4, "Protein"),)
    assert document.discontinuous == 1
    assert read_sentences(tmp_path) == [gold("[Pax6|Protein] in wild or type mice.")]


def test_bad_corpora_are_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="neither articles/txt nor txt"):
        read_craft(tmp_path / "empty")
    with pytest.raises(SettingsError, match="has no corpus"):
        read_sentences(tmp_path / "empty")
    folder = craft(tmp_path / "craft", released=False)
    (folder / "ids").write_text("1\n2\n")
    with pytest.raises(SettingsError, match=r"cannot read the article .*2\.txt"):
        read_craft(folder, folder / "ids")
    outside = '<annotation><span start="20" end="99"/></annotation>'
    (folder / "standoff/SO/1.xml").write_text(f"<annotations>{outside}</annotations>")
    with pytest.raises(SettingsError, match="1 has a mention at 20-99, outside its text"):
        read_craft(folder)
    (folder / "standoff/SO/1.xml").write_text("<annotations>")
    with pytest.raises(SettingsError, match="is not Knowtator XML"):
        read_craft(folder)
    (folder / "standoff/SO/1.xml").unlink()
    with pytest.raises(SettingsError, match=r"the mentions of an article are missing: there is no .*SO/1\.xml"):
        read_craft(folder)
    with pytest.raises(SettingsError, match="a list of articles goes with a folder of CRAFT"):
        read_sentences(folder / "txt/1.txt", folder / "ids")


@pytest.mark.parametrize(
    "lines",
    [
        "Bird\tB-Virus\nflu\tI-Virus\nkills\tO\nhens\tB-Host\n",
        "Bird NN B-Virus\nflu NN I-Virus\nkills VB O\nhens NN B-Host\n",
        "Bird B-Virus\nflu E-Virus\nkills O\nhens S-Host\n \n",
        "-DOCSTART- O\n\nBird  B-Virus\nflu  L-Virus\nkills  O\nhens  U-Host\n",
        "Bird Virus-B\nflu Virus-I\nkills O\nhens Host-B\n",
        "Bird I_Virus\nflu I_Virus\nkills O\nhens I_Host\n",
    ],
)
def test_read_iob_in_all_schemes(tmp_path: Path, lines):
    (tmp_path / "corpus.txt").write_text(lines)
    (sentence,) = read_iob(tmp_path / "corpus.txt")
    assert sentence == gold("[Bird flu|Virus] kills [hens|Host]")


@pytest.mark.parametrize(
    ("content", "message"), [("word\n", "is not in IOB form"), ("\n\n", "has no sentences"), (None, "cannot read")]
)
def test_bad_iob_files_are_refused(content, message, tmp_path: Path):
    path = tmp_path / "x.tsv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_sentences(path)


def test_mentions_stay_in_their_sentences():
    """Nested mentions too; one that crosses a boundary is split."""
    text = "The retinal ganglion cells die. Others live. More"
    mentions = [(4, 11, "Anatomy"), (4, 26, "Cell"), (32, 49, "Taxon")]
    document = GoldDocument("1", text, tuple(Mention(*one) for one in mentions))
    assert to_sentences([document]) == [
        gold("The [[retinal|Anatomy] ganglion cells|Cell] die."),
        gold("[Others live.|Taxon]"),
        gold("[More|Taxon]"),
    ]


@given(st.lists(st.tuples(st.integers(0, 3), st.text("xy", max_size=4)), max_size=5))
def test_replaced_parts_keep_mentions(changes):
    """The words of a sentence replaced by others: mentions of whole words follow."""
    sentence = gold("[[ab|A] cd|B] ef [gh|A]")
    starts = (0, 3, 6, 9)
    parts = [(starts[word], starts[word] + 2, new) for word, new in sorted(dict(changes).items())]
    words = ["ab", "cd", "ef", "gh"]
    for word, new in dict(changes).items():
        words[word] = new
    a, b, _, d = words
    assert sentence.replaced(parts).text == " ".join(words)
    expected = [(a, "A"), (f"{a} {b}", "B"), (d, "A")]
    assert sorted(marked(sentence.replaced(parts))) == sorted(expected)


def test_mention_that_ends_within_a_replaced_part_is_dropped():
    assert gold("[ab|A] [cd|B]").replaced([(1, 4, "x")]) == Sentence("axd", ())


def test_sentences_of_another_corpus_are_removed():
    def corpus(*texts: str) -> Corpus:
        return Corpus("corpus", [Sentence(text) for text in texts])

    held_out = corpus("Results", "We show that PGC-1α−/− mice have fewer mitochondria in their muscles .")
    train = corpus(
        "RESULTS .",
        "we show that PGC - 1 alpha - / - mice have fewer mitochondria in their muscles",
        "Others show that PGC-1α−/− mice have fewer mitochondria in their muscles than their fathers",
        "We show that mice have fewer mitochondria",
    )
    assert without_overlap(train, held_out).sentences == train.sentences[3:]


@pytest.mark.parametrize("text", ["TGF-β1", "tgf beta 1", "TGF–Beta1", "Tgfβ₁"])
def test_spellings_share_a_text_key(text):
    assert text_key(text) == "tgfbeta1"


def test_corpus_keys_identify_seen_mentions():
    sentences = [gold("[wild - type|Sequence] [mice|Taxon]")]
    keys = mention_keys([("Sequence", "wild-type"), ("Taxon", "mice"), ("Taxon", "rat"), ("Sequence", "mice")])
    assert np.isin(keys, corpus_keys(sentences)).tolist() == [True, True, False, False]


def test_split_draws_blocks():
    corpus = Corpus("viruses", [Sentence(str(n)) for n in range(1000)])
    rest, dev = split(corpus, 0.1, seed=1)
    numbers = [[int(s.text) for s in part.sentences] for part in (rest, dev)]
    assert sorted(numbers[0] + numbers[1]) == list(range(1000))
    assert [len(part) for part in numbers] == [900, 100]
    assert all(set(range(n // 20 * 20, n // 20 * 20 + 20)) <= set(numbers[1]) for n in numbers[1])
    assert split(corpus, 0.1, seed=1)[1] == dev != split(corpus, 0.1, seed=2)[1]
    with pytest.raises(SettingsError, match=r"viruses has 20 sentences: too few for a development share of 0.1"):
        split(Corpus("viruses", corpus.sentences[:20]), 0.1, seed=1)


def test_labels_that_an_auxiliary_corpus_shares():
    """Its own Gene is a gene, and no cellular component, which stay apart."""
    corpus = Corpus("genes", [gold("[Pax6|Gene] of [mice|Species] in [nuclei|Part]")])
    renamed = corpus.renamed({"Species": "Taxon", "Part": "Gene"})
    assert renamed.sentences == [Sentence("Pax6 of mice in nuclei", renamed.sentences[0].mentions)]
    assert marked(renamed.sentences[0]) == [("Pax6", "Gene 2"), ("mice", "Taxon"), ("nuclei", "Gene")]
    assert renamed.shared == ("Gene", "Taxon")
