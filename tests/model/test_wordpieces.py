"""Words looked up give what the tokenizer gives, piece for piece and offset for offset."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
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
from craft_ray.model.windows import Subwords, Windower, tokenize_sentences
from craft_ray.model.wordpieces import word_pieces
from tests.support.models import TOKENIZER

WINDOWER = Windower(TOKENIZER, 510)
SHIPPED_WINDOWERS = {
    name: Windower(load_tokenizer((folder / "tokenizer.json").read_text(encoding="utf-8")), 510)
    for name, folder in SHIPPED.items()
}


@pytest.fixture(params=SHIPPED_WINDOWERS)
def windower(request: pytest.FixtureRequest) -> Windower:
    return SHIPPED_WINDOWERS[request.param]


def assert_equal(sentences: Sequence[str], windower: Windower = WINDOWER) -> None:
    ours, theirs = windower.subwords(sentences), tokenize_sentences(windower.tokenizer, sentences)
    for field in fields(Subwords):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        assert a.dtype == b.dtype, field.name
        assert np.array_equal(a, b), field.name


def test_every_character_is_treated_as_the_tokenizer_treats_it(windower: Windower):
    """All of the planes up to Chinese, and what lies beyond: between letters, alone, and beside blanks and marks."""
    codes = [*range(0x3100), 0x4E2D, 0xAC00, 0xFB01, 0xFEFF, 0xFFFD, 0x1D6FC, 0x1F9EC, 0x20000]
    for template in ("ab{}cd", "{}", "x {}y", "Pax{} 6.", "({})", "ab{0}{0}"):
        assert_equal([template.format(chr(code)) for code in codes], windower)


@given(
    st.sampled_from(sorted(SHIPPED_WINDOWERS)),
    st.lists(
        st.text(
            st.sampled_from(
                "\u0394\u2212+^aPx6 .,-(\t\n\u00e9\u03b2\u0301\u00ad\u2009\u2260\u4e2d\U0001f9ec\x00[]MASKUN"
            )
        )
    ),
)
def test_any_text_gives_the_same(name, sentences):
    assert_equal(sentences, SHIPPED_WINDOWERS[name])


def test_real_articles_give_the_same_and_nearly_all_sentences_are_looked_up(data: Path, windower: Windower):
    looked_up = word_pieces(windower.tokenizer)
    assert looked_up is not None
    texts = [file.read_text(encoding="utf-8") for file in sorted((data / "craft" / "txt").glob("*.txt"))[::9]]
    sentences = [text[a:b] for text in texts for a, b in sentence_spans(text)]
    assert np.mean([looked_up.supports(sentence) for sentence in sentences]) > 0.99
    assert_equal(sentences, windower)


@pytest.mark.parametrize("text", ["[MASK]", "a [SEP] b", "[CLS]", "[UNK]s", "[PAD", "x" * 101, "x" * 100, ""])
def test_special_tokens_and_words_too_long_give_the_same(text):
    assert_equal([text, "Pax6 in mice.", text])


def test_words_are_forgotten_without_a_trace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wordpieces, "MAX_WORDS", 5)
    windower = Windower(Tokenizer.from_str(TOKENIZER.to_str()), 510)
    for round in range(3):
        assert_equal([f"Pax{round} is expressed in the mouse eye.", "And in mice again."], windower)


def test_threads_share_the_words_that_were_seen():
    windower = Windower(Tokenizer.from_str(TOKENIZER.to_str()), 510)
    sentences = [[f"Gene{number % 50 + n} acts on Pax{n} in mice." for n in range(40)] for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for given_, ours in zip(sentences, pool.map(windower.subwords, sentences), strict=True):
            assert np.array_equal(ours.token_ids, tokenize_sentences(TOKENIZER, given_).token_ids)


def test_a_word_is_split_at_symbols_where_the_tokenizer_splits_there():
    sentence = ["Cln3\u0394ex7 of Pax6\u2212/\u2212 mice"]
    words = {name: windower.subwords(sentence) for name, windower in SHIPPED_WINDOWERS.items()}
    found = {
        name: [sentence[0][a:b] for a, b in zip(w.word_start, w.word_end, strict=True)] for name, w in words.items()
    }
    assert found["craft"] == ["Cln3", "\u0394", "ex7", "of", "Pax6", "\u2212", "/", "\u2212", "mice"]
    assert found["craft-iob"] == ["Cln3\u0394ex7", "of", "Pax6\u2212", "/", "\u2212", "mice"]


def test_tokenizers_of_other_kinds_are_left_alone():
    split = Tokenizer.from_str(TOKENIZER.to_str())
    words = pre_tokenizers.Split(Regex("[a-z]+"), "isolated")
    split.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), words])
    assert word_pieces(split) is None
    other = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    assert word_pieces(other) is None
    assert_equal(["a b", "a"], Windower(other, 510))
