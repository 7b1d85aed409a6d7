"""Gold corpora in both their forms."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import LABELS, TAGS
from craft_ray.model.tags import TAG_SET, Mention, iob_to_spans, tag_words
from craft_ray.training.corpora import (
    Corpus,
    TaggedSentence,
    keys_shown,
    mention_keys,
    read_iob,
    split,
    text_key,
    without_overlap,
)
from craft_ray.training.craft import GoldDocument, read_craft, to_sentences
from craft_ray.training.gold import read_sentences

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
    return folder


@pytest.mark.parametrize("released", [True, False])
def test_craft_is_read_as_it_is_released_and_in_parts(tmp_path: Path, released):
    (document,) = read_craft(craft(tmp_path, released))
    assert document.mentions == (Mention(0, 4, "Protein"),)
    assert document.discontinuous == dict.fromkeys((label.name for label in LABELS), 0) | {"Sequence": 1}
    (sentence,) = read_sentences(tmp_path)
    assert sentence == TaggedSentence(
        ["Pax6", "in", "wild", "or", "type", "mice", "."], ["B-Protein", "O", "O", "O", "O", "O", "O"]
    )


def test_craft_with_a_table_beside_it_is_craft_still(tmp_path: Path):
    (craft(tmp_path, released=False) / "idmap.tsv").write_text("1\tPMC1\n")
    (sentence,) = read_sentences(tmp_path)
    assert sentence.tags[0] == "B-Protein"


def test_words_end_at_symbols():
    (sentence,) = to_sentences([GoldDocument("1", "Pax6−/− and Cln3Δex7", (Mention(0, 4, "Protein"),), {})])
    assert sentence.words == ["Pax6", "−", "/", "−", "and", "Cln3", "Δ", "ex7"]
    assert sentence.tags == ["B-Protein", *["O"] * 7]


def test_a_corpus_is_kept_from_sentences_of_another_by_their_text():
    def corpus(*texts: str) -> Corpus:
        return Corpus("corpus", [TaggedSentence(text.split(), ["O"] * len(text.split())) for text in texts])

    kept_apart = corpus("Results", "We show that PGC-1α−/− mice have fewer mitochondria in their muscles .")
    learnt = corpus(
        "RESULTS .",
        "we show that PGC - 1 alpha - / - mice have fewer mitochondria in their muscles",
        "Others show that PGC-1α−/− mice have fewer mitochondria in their muscles than their fathers",
        "We show that mice have fewer mitochondria",
    )
    assert without_overlap(learnt, kept_apart).sentences == learnt.sentences[3:]


@pytest.mark.parametrize(
    "lines",
    [
        "Bird\tB-Virus\nflu\tI-Virus\nkills\tO\nhens\tB-Host\n",
        "Bird NN B-Virus\nflu NN I-Virus\nkills VB O\nhens NN B-Host\n",
        "Bird B-Virus\nflu E-Virus\nkills O\nhens S-Host\n \n",
        "-DOCSTART- O\n\nBird  B-Virus\nflu  L-Virus\nkills  O\nhens  U-Host\n",
    ],
)
def test_tags_of_any_language_and_columns_are_read_alike(tmp_path: Path, lines):
    (tmp_path / "corpus.txt").write_text(lines)
    (sentence,) = read_iob(tmp_path / "corpus.txt")
    assert sentence == TaggedSentence(["Bird", "flu", "kills", "hens"], ["B-Virus", "I-Virus", "O", "B-Host"])


@pytest.mark.parametrize("text", ["TGF-β1", "tgf beta 1", "TGF–Beta1", "Tgfβ₁"])
def test_a_text_is_known_in_other_spellings(text):
    assert text_key(text.split()) == "tgfbeta1"


def test_mentions_of_real_articles_are_their_spanned_text(data: Path):
    documents = read_craft(data / "craft", data / "craft" / "ids-dev.txt")
    assert len(documents) == 7
    mentions = [(d.text[m.start : m.end], m.label) for d in documents for m in d.mentions]
    assert len(mentions) > 5000
    assert {label for _, label in mentions} == set(TAG_SET.names)
    assert ("mice", "Taxon") in mentions
    assert all(text == text.strip() and text for text, _ in mentions)
    sentences = to_sentences(documents)
    words = sum(len(sentence.words) for sentence in sentences)
    tags = np.array([TAGS.index(tag) for s in sentences for tag in s.tags], np.int8)
    spans = iob_to_spans(tags, np.repeat(np.arange(len(sentences)), [len(s.words) for s in sentences]), TAG_SET)
    assert words == len(tags)
    assert len(spans.first) > 0.95 * len(mentions)  # the others lie within longer ones


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.sampled_from(TAG_SET.names)), max_size=8))
def test_words_of_a_mention_carry_its_label_and_longer_mentions_go_before(mentions):
    def order(mention):
        return mention.start - mention.end, mention.start, mention.label

    start = np.arange(0, 30, 3)
    gold = [Mention(at, at + length, label) for at, length, label in mentions]
    tags = tag_words(start, start + 2, np.zeros(len(start)), gold)
    for mention in gold:
        over = [i for i in range(len(start)) if start[i] < mention.end and start[i] + 2 > mention.start]
        taken = [other for other in gold if order(other) < order(mention)]
        if over and not any(m.start < start[i] + 2 and m.end > start[i] for m in taken for i in over):
            assert [tags[i] for i in over] == [f"{'I' if i > over[0] else 'B'}-{mention.label}" for i in over]
    assert all(tag == "O" or tag[2:] in {m.label for m in gold} for tag in tags)


def test_what_training_showed_is_known_without_keeping_its_text():
    sentences = [TaggedSentence(["wild", "-", "type", "mice"], ["B-Sequence", "I-Sequence", "I-Sequence", "B-Taxon"])]
    keys = keys_shown(sentences)
    asked = mention_keys(["Sequence", "Taxon", "Taxon", "Sequence"], ["wild-type", "mice", "rat", "mice"])
    assert np.isin(asked, keys).tolist() == [True, True, False, False]


def test_as_many_test_mentions_were_shown_as_the_corpus_is_known_for(data: Path):
    """95 % of Taxon, 14 % of Protein."""
    shown = keys_shown(read_iob(data / "craft-iob" / "train.tsv"))
    sentences = read_iob(data / "craft-iob" / "test.tsv")
    words = [word for s in sentences for word in s.words]
    tags = np.array([TAGS.index(tag) for s in sentences for tag in s.tags], np.int8)
    spans = iob_to_spans(tags, np.repeat(np.arange(len(sentences)), [len(s.words) for s in sentences]), TAG_SET)
    keys = mention_keys(
        [TAG_SET.names[i] for i in spans.label], ["".join(words[a : b + 1]) for a, b, _ in spans.rows().tolist()]
    )
    seen = np.isin(keys, shown)
    share = {name: seen[spans.label == i].mean() for i, name in enumerate(TAG_SET.names)}
    assert share["Taxon"] == pytest.approx(0.95, abs=0.01)
    assert share["Protein"] == pytest.approx(0.14, abs=0.01)


@pytest.mark.parametrize(
    ("content", "sentence"), [("word\n", "is not in IOB form"), ("\n\n", "holds no sentence"), (None, "cannot read")]
)
def test_a_bad_iob_file_is_a_bad_setting(content, sentence, tmp_path: Path):
    path = tmp_path / "x.tsv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=sentence):
        read_sentences(path)


def test_a_bad_craft_folder_is_a_bad_setting(tmp_path: Path):
    with pytest.raises(SettingsError, match="neither articles/txt nor txt"):
        read_sentences(tmp_path)
    folder = craft(tmp_path / "craft", released=False)
    (folder / "ids").write_text("1\n2\n")
    with pytest.raises(SettingsError, match=r"cannot read the article .*2\.txt"):
        read_craft(folder, folder / "ids")
    outside = '<annotation><span start="20" end="99"/></annotation>'
    (folder / "standoff/SO/1.xml").write_text(f"<annotations>{outside}</annotations>")
    with pytest.raises(SettingsError, match="a mention at 20-99, outside the article's text"):
        read_craft(folder)
    (folder / "standoff/SO/1.xml").write_text("<annotations>")
    with pytest.raises(SettingsError, match="is not Knowtator XML"):
        read_craft(folder)
    (folder / "standoff/SO/1.xml").unlink()
    with pytest.raises(SettingsError, match="the article 1 has no SO mentions"):
        read_craft(folder)
    with pytest.raises(SettingsError, match="a list of articles goes with a folder"):
        read_sentences(folder / "txt/1.txt", folder / "ids")


def test_a_share_to_measure_on_is_drawn_in_blocks_and_leaves_the_rest_to_train_on():
    corpus = Corpus("viruses", [TaggedSentence([str(n)], ["O"]) for n in range(1000)])
    rest, dev = split(corpus, 0.1, seed=1)
    numbers = [[int(s.words[0]) for s in part.sentences] for part in (rest, dev)]
    assert sorted(numbers[0] + numbers[1]) == list(range(1000))
    assert [len(part) for part in numbers] == [900, 100]
    assert all(set(range(n // 20 * 20, n // 20 * 20 + 20)) <= set(numbers[1]) for n in numbers[1])
    assert split(corpus, 0.1, seed=1)[1] == dev != split(corpus, 0.1, seed=2)[1]
    with pytest.raises(SettingsError, match=r"viruses has 20 sentences: too few for a share of 0.1"):
        split(Corpus("viruses", corpus.sentences[:20]), 0.1, seed=1)
