"""Predictions for words to entities with offsets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.labels import TAGS
from craft_ray.core.schema import Document, Section
from craft_ray.model import decode as decoding
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.tags import Predictions, TagSet
from craft_ray.model.tokens import tokenize, with_predictions
from craft_ray.model.windows import Windower
from tests.support.blocks import labelled
from tests.support.models import TOKENIZER
from tests.support.tags import TAG_SET

texts = st.text(alphabet=st.sampled_from("aPx6 .\n-é\U0001f9ec\u0301中\x00\u202e\u00a0"), max_size=200)
collections = st.lists(texts, min_size=1, max_size=5).map(
    lambda texts: [Document(str(i), t, (Section("s", 0, len(t)),) if t else ()) for i, t in enumerate(texts)]
)


@given(collections, st.integers(0, 2**32 - 1), st.sampled_from([0, 8, 16]))
def test_offsets_give_the_mention(documents, seed, window_pieces):
    tokens = tokenize(documents, Windower(TOKENIZER, 16, window_pieces))
    labels = np.random.default_rng(seed).integers(0, len(TAGS), len(tokens["unit_start"].flatten())).astype(np.int8)
    entities, counts = decode(labelled(documents, tokens, labels), Decoder(TAG_SET))
    assert counts.sum() == entities.num_rows
    assert entities.num_rows >= (labels == TAGS.index("B-Taxon")).sum()
    for entity in entities.to_pylist():
        text = documents[entity["row"]].text
        assert text[entity["start"] : entity["end"]] == entity["mention"] != ""
        assert entity["sentence_start"] <= entity["start"] < entity["end"] <= entity["sentence_end"]
        assert entity["score"] == pytest.approx(0.5)


@given(collections, st.data())
def test_mentions_round_trip(documents, draw):
    tokens = tokenize(documents, Windower(TOKENIZER, 16))
    columns = ("unit_start", "unit_end", "unit_sentence")
    words = [
        (row, *word)
        for row in range(len(documents))
        for word in zip(*(tokens[name][row].as_py() for name in columns), strict=True)
    ]
    labels, expected, i = np.zeros(len(words), np.int8), [], 0
    while i < len(words):
        row, start, _, sentence = words[i]
        length = draw.draw(st.integers(0, 3))
        mention = [word for word in words[i : i + length] if (word[0], word[3]) == (row, sentence)]
        if mention:
            name = draw.draw(st.sampled_from(TAG_SET.names))
            labels[i] = TAGS.index(f"B-{name}")
            labels[i + 1 : i + len(mention)] = TAGS.index(f"I-{name}")
            end = mention[-1][2]
            expected.append((row, start, end, name, documents[row].text[start:end]))
        i += max(1, len(mention))
    entities, _ = decode(labelled(documents, tokens, labels), Decoder(TAG_SET))
    found = [tuple(e[name] for name in ("row", "start", "end", "label", "mention")) for e in entities.to_pylist()]
    assert found == expected


@pytest.mark.parametrize(
    ("calibration", "expected"),
    [((1.0, 0.0), [0.8, 0.5]), ((0.5, 0.0), [2 / 3, 0.5]), ((1.0, np.log(3)), [12 / 13, 0.75])],
)
def test_score_is_the_calibrated_mean(craft_iob: Checkpoint, calibration, expected):
    document = Document("a", "mouse eye and rat", (Section("s", 0, 17),))
    tokens = tokenize([document], Windower(TOKENIZER, 16))
    labels = np.array([TAGS.index(tag) for tag in ("B-Taxon", "I-Taxon", "O", "B-Taxon")], np.int8)
    block = labelled([document], tokens, labels, np.array([0.9, 0.7, 0.1, 0.5]))
    entities, _ = decode(block, replace(Decoder.of(replace(craft_iob, calibration=calibration)), refine=False))
    assert entities["mention"].to_pylist() == ["mouse eye", "rat"]
    assert entities["score"].to_pylist() == pytest.approx(expected)


@pytest.mark.parametrize(("refine", "expected"), [(False, ["Cell", "Taxon", "Taxon"]), (True, ["Taxon", "Taxon"])])
def test_best_of_the_mentions_with_the_same_offsets(refine, expected):
    """Nested ones stay."""
    tags = TagSet.from_id2label(dict(enumerate(["O", "B-Cell", "I-Cell", "O", "B-Taxon", "I-Taxon"])))
    document = Document("a", "mouse eye", (Section("s", 0, 9),))
    tokens = tokenize([document], Windower(TOKENIZER, 16))
    unit, label = np.array([0, 0, 1], np.int32), np.array([1, 4, 4], np.int8)
    block = with_predictions([document], tokens, Predictions(unit, label, np.float32([0.6, 0.7, 0.9])))
    entities, counts = decode(block, Decoder(tags, refine=refine))
    assert entities["label"].to_pylist() == expected
    assert counts.tolist() == [len(expected)]


def test_part_that_begins_within_a_word(monkeypatch: pytest.MonkeyPatch):
    """A long sentence is refined in parts, of which the last may have no beginning of a word."""
    monkeypatch.setattr(decoding, "MAX_WORDS", 1)
    document = Document("a", "xqxqxq", (Section("s", 0, 6),))
    tokens = tokenize([document], Windower(TOKENIZER, 16, label_pieces=True))
    unit = len(tokens["unit_start"][0]) - 1
    assert unit > 0
    tags = TagSet.from_id2label({0: "O", 1: "B-Cell", 2: "I-Cell"})
    predictions = Predictions(np.int32([unit]), np.int8([1]), np.float32([0.995]))
    block = with_predictions([document], tokens, predictions)
    entities, _ = decode(block, Decoder(tags, refine=True, cut_words=True))
    assert entities["start"].to_pylist() == [tokens["unit_start"][0][unit].as_py()]
