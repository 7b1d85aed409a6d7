"""Words that are looked up give the pieces and offsets of the tokenizer."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from craft_ray.model import wordpieces
from craft_ray.model.loading import SHIPPED
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Subwords, Units, tokenize_sentences, word_pieces
from tests.support.models import TOKENIZER

WINDOWERS = {
    name: Windower(load_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8")), 510)
    for name, folder in SHIPPED.items()
}
MIXED = "\u0394\u2212+^aPx6 .,-(\t\n\u00e9\u03b2\u0301\u00ad\u2009\u2260\u4e2d\U0001f9ec\x00[]MASKUN"


@pytest.fixture(autouse=True, scope="module")
def look_up_in_short_texts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wordpieces, "MANY", 1)
        yield


@pytest.fixture(params=WINDOWERS)
def windower(request: pytest.FixtureRequest) -> Windower:
    return WINDOWERS[request.param]


def assert_equal(sentences: Sequence[str], windower: Windower) -> None:
    ours, theirs = windower.subwords(sentences), tokenize_sentences(windower.tokenizer, sentences)
    for field in fields(Subwords):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        assert a.dtype == b.dtype, field.name
        assert np.array_equal(a, b), field.name


def test_every_character(windower: Windower):
    """All characters up to Chinese and some beyond: in and at words, alone, and next to blanks and marks."""
    codes = [*range(0x3100), 0x4E2D, 0xAC00, 0xFB01, 0xFEFF, 0xFFFD, 0x1D6FC, 0x1F9EC, 0x20000]
    for template in ("ab{}cd", "{}", "x {}y", "Pax{} 6.", "({})", "ab{0}{0}"):
        assert_equal([template.format(chr(code)) for code in codes], windower)


@given(st.sampled_from(sorted(WINDOWERS)), st.lists(st.text(st.sampled_from(MIXED))))
def test_random_text(name, sentences):
    assert_equal(sentences, WINDOWERS[name])


def test_articles(data: Path, windower: Windower):
    look_up = word_pieces(windower.tokenizer)
    texts = [file.read_text(encoding="utf-8") for file in sorted((data / "craft" / "txt").glob("*.txt"))[::9]]
    sentences = [text[a:b] for text in texts for a, b in sentence_spans(text)]
    assert np.mean([look_up.supports(sentence) for sentence in sentences]) > 0.99
    assert_equal(sentences, windower)


def test_special_tokens_and_long_words(windower: Windower):
    for text in ("[MASK]", "a [SEP] b", "[CLS]", "[UNK]s", "[PAD", "x" * 101, "x" * 100, ""):
        assert_equal([text, "Pax6 in mice.", text], windower)


def test_memory_is_cleared_when_full(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wordpieces, "MAX_WORDS", 5)
    windower = Windower(Tokenizer.from_str(TOKENIZER.to_str()), 510)
    for number in range(3):
        assert_equal([f"Pax{number} is expressed in the mouse eye.", "And in mice again."], windower)


def test_threads():
    windower = Windower(Tokenizer.from_str(TOKENIZER.to_str()), 510)
    blocks = [[f"Gene{number % 50 + n} acts on Pax{n} in mice." for n in range(40)] for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for sentences, ours in zip(blocks, pool.map(windower.subwords, blocks), strict=True):
            assert np.array_equal(ours.token_ids, tokenize_sentences(TOKENIZER, sentences).token_ids)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("craft", ["Cln3", "\u0394", "ex7", "of", "Pax6", "\u2212", "/", "\u2212", "mice"]),
        ("craft-iob", ["Cln3\u0394ex7", "of", "Pax6\u2212", "/", "\u2212", "mice"]),
    ],
)
def test_split_at_symbols(name, expected):
    sentence = "Cln3\u0394ex7 of Pax6\u2212/\u2212 mice"
    words, _ = WINDOWERS[name]([sentence])
    assert [sentence[a:b] for a, b in zip(words.start, words.end, strict=True)] == expected


@given(st.sampled_from(sorted(WINDOWERS)), st.lists(st.text(st.sampled_from(MIXED)), max_size=5))
def test_words_are_their_pieces(name, sentences):
    """A word begins with its first piece and ends with its last one."""
    pieces = WINDOWERS[name].subwords(sentences)
    words, all_pieces = (Units.of(pieces, label_pieces) for label_pieces in (False, True))
    assert np.array_equal(words.piece, all_pieces.piece[~all_pieces.inner])
    for number, (first, to) in enumerate(pairwise([*words.piece.tolist(), len(pieces.token_ids)])):
        own = {name: getattr(all_pieces, name)[first:to] for name in ("sentence", "start", "end")}
        assert set(own["sentence"]) == {words.sentence[number]}
        assert (own["start"][0], own["end"][-1]) == (words.start[number], words.end[number])
        assert (own["start"][1:] >= own["end"][:-1]).all()


def test_other_tokenizers_are_not_looked_up():
    split = Tokenizer.from_str(TOKENIZER.to_str())
    letters = pre_tokenizers.Split(Regex("[a-z]+"), "isolated")
    split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), letters])
    assert word_pieces(split) is None
    other = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    assert word_pieces(other) is None
    assert_equal(["a b", "a"], Windower(other, 510))
