"""From a shard's bytes to columns and back to entities: offsets, accounting, determinism."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from craft_ray.annotation.prepare import Preprocessor
from craft_ray.annotation.rows import SHARD_END, TOKENIZED
from craft_ray.core.labels import TAG_SET, TAGS
from craft_ray.core.schema import SECTIONS, Document, Section
from craft_ray.model import tokens
from craft_ray.model.checkpoint import EMBEDDED_FOLDER
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.tokens import tokenize
from craft_ray.tables.ledger import Ledger, entries

TOKENIZER = Tokenizer.from_file(str(EMBEDDED_FOLDER / "tokenizer.json"))
TOKENIZER.no_truncation()
TOKENIZER.no_padding()
EMPTY = Ledger.of(entries([], [], [], []))


def prepared(content: bytes, ledger: Ledger = EMPTY, name: str = "x.jsonl", rejected: Sequence[str] = ()) -> pa.Table:
    preparer = Preprocessor(TOKENIZER, 510, 0, "model", ledger, {name: rejected})
    return pa.concat_tables(preparer.prepare(io.BytesIO(content), name, 3, None))


def lines(*records: dict) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def account(table: pa.Table) -> dict:
    assert table["status"].to_pylist().count(SHARD_END) == 1
    assert table["status"][-1].as_py() == SHARD_END
    return json.loads(table["detail"][-1].as_py())


texts = st.text(alphabet=st.sampled_from("aPx6 .\n-é\U0001f9ec\u0301中\x00\u202e\u00a0"), max_size=200)


def labelled(documents: list[Document], tokens: dict[str, pa.ListArray], labels: np.ndarray) -> pa.Table:
    """A block as the model gives it."""
    words = tokens["word_start"].value_lengths().to_numpy().astype(np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(words)]).astype(np.int32))
    return pa.table(
        tokens
        | {
            "doc_id": [document.doc_id for document in documents],
            "text": pa.array([document.text for document in documents], pa.string()),
            "sections": pa.array(
                [[{"name": s.name, "start": s.start, "end": s.end} for s in d.sections] for d in documents], SECTIONS
            ),
            "label_ids": pa.ListArray.from_arrays(offsets, pa.array(labels)),
            "scores": pa.ListArray.from_arrays(offsets, pa.array(np.full(len(labels), 0.5, np.float32))),
        }
    )


@given(st.lists(texts, max_size=5), st.integers(0, 2**32 - 1), st.sampled_from([0, 8, 16]))
def test_every_mention_is_its_offsets_text_under_any_labelling(documents, seed, window_pieces):
    documents = [
        Document(str(i), text, (Section("s", 0, len(text)),) if text else ()) for i, text in enumerate(documents)
    ]
    tokens = tokenize(documents, TOKENIZER, 16, window_pieces)
    labels = np.random.default_rng(seed).integers(0, len(TAGS), len(tokens["word_start"].flatten())).astype(np.int8)
    block = labelled(documents, tokens, labels)
    entities, counts = decode(block, Decoder(TAG_SET))
    assert counts.sum() == entities.num_rows
    assert entities.num_rows >= (labels == TAGS.index("B-Taxon")).sum()
    for entity in entities.to_pylist():
        text = documents[entity["row"]].text
        assert text[entity["start"] : entity["end"]] == entity["mention"] != ""
        assert entity["sentence_start"] <= entity["start"] < entity["end"] <= entity["sentence_end"]
        assert entity["score"] == pytest.approx(0.5)


@given(st.lists(texts, min_size=1, max_size=4), st.data())
def test_decoding_gives_back_exactly_the_mentions_that_tags_were_made_of(documents, draw):
    documents = [
        Document(str(i), text, (Section("s", 0, len(text)),) if text else ()) for i, text in enumerate(documents)
    ]
    tokens = tokenize(documents, TOKENIZER, 16)
    columns = ("word_start", "word_end", "word_sentence")
    words = [
        (row, *word)
        for row in range(len(documents))
        for word in zip(*(tokens[name][row].as_py() for name in columns), strict=True)
    ]
    labels, expected, at = np.zeros(len(words), np.int8), [], 0
    while at < len(words):
        row, start, _, sentence = words[at]
        length = draw.draw(st.integers(0, 3))
        within = [word for word in words[at : at + length] if (word[0], word[3]) == (row, sentence)]
        if within:
            name = draw.draw(st.sampled_from(TAG_SET.names))
            labels[at] = TAGS.index(f"B-{name}")
            labels[at + 1 : at + len(within)] = TAGS.index(f"I-{name}")
            end = within[-1][2]
            expected.append((row, start, end, name, documents[row].text[start:end]))
        at += max(1, len(within))
    entities, _ = decode(labelled(documents, tokens, labels), Decoder(TAG_SET))
    found = [tuple(e[name] for name in ("row", "start", "end", "label", "mention")) for e in entities.to_pylist()]
    assert found == expected


def test_a_shard_is_accounted_for():
    content = lines({"id": "a", "text": "Pax6"}, {"id": "a", "text": "again"}, {"id": "b"}, {"id": "c", "text": ""})
    table = prepared(content)
    assert table["status"].to_pylist() == ["annotated", "rejected", "rejected", "annotated", SHARD_END]
    assert table["reason"].to_pylist()[:4] == [None, "duplicate_id", "bad_record", None]
    assert account(table)["found"] == account(table)["emitted"] == 4


def test_what_the_ledger_holds_is_left_out():
    content = lines({"id": "a", "text": "Pax6"}, {"id": "b", "text": "mice"})
    first = prepared(content)
    held = Ledger.of(entries(first["id_hash"][:1].to_numpy(), first["key"][:1].to_numpy(), [1 << 33], [False]))
    second = prepared(content, held)
    assert second["doc_id"].to_pylist()[:-1] == ["b"]
    assert account(second) | {"unchanged": 1, "emitted": 1, "found": 2} == account(second)


def test_a_broken_shard_leaves_a_mark_that_a_later_reading_takes_back():
    broken = b"PAR1" + bytes(50)
    table = prepared(broken, name="x.parquet")
    assert table["doc_id"].to_pylist() == ["x.parquet#unreadable", "x.parquet"]
    assert table["status"].to_pylist() == ["rejected", SHARD_END]
    assert account(table)["reason"] == "bad_record"
    held = Ledger.of(entries(table["id_hash"][:1].to_numpy(), table["key"][:1].to_numpy(), [3], [False]))
    sink = io.BytesIO()
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"], "text": ["Pax6"]}), sink)
    rejected = ["x.parquet#unreadable", "x.parquet#2"]
    again = prepared(sink.getvalue(), held, name="x.parquet", rejected=rejected)
    assert again["status"].to_pylist() == ["annotated", "retracted", "retracted", SHARD_END]


def test_documents_go_alone_where_one_of_them_is_suspected_and_are_rejected_where_none_came_through():
    content = lines(*({"id": name, "text": "Pax6"} for name in "abc"))
    alone = Preprocessor(TOKENIZER, 510, 0, "model", EMPTY, rows_at_once=1)
    tables = list(alone.prepare(io.BytesIO(content), "x.jsonl", 3, None))
    assert [table["doc_id"].to_pylist() for table in tables] == [["a"], ["b"], ["c"], ["x.jsonl"]]
    refusing = Preprocessor(TOKENIZER, 510, 0, "model", EMPTY, refusal="its process died each time")
    (table,) = refusing.prepare(io.BytesIO(content), "x.jsonl", 3, None)
    assert table["status"].to_pylist() == ["rejected"] * 3 + [SHARD_END]
    assert set(table["reason"].to_pylist()[:3]) == {"failed"}


def test_a_lone_surrogate_is_rejected_and_its_neighbours_come_through():
    table = prepared(
        b'{"id": "a", "text": "x \\ud800 y"}\n{"id": "b", "text": "mice"}\n{"id": "\\udfff", "text": "z"}\n'
    )
    assert table["reason"].to_pylist()[:3] == ["bad_encoding", None, "bad_encoding"]
    assert table["status"].to_pylist()[1] == "annotated"


def test_a_document_that_fails_is_rejected_alone(monkeypatch):
    split = tokens.sentence_spans

    def failing(text, start, end):
        if "poison" in text:
            raise RuntimeError("cannot split this")
        return split(text, start, end)

    monkeypatch.setattr(tokens, "sentence_spans", failing)
    table = prepared(lines({"id": "a", "text": "poison"}, {"id": "b", "text": "mice"}))
    assert table["status"].to_pylist()[:2] == ["rejected", "annotated"]
    assert table["reason"][0].as_py() == "failed"
    assert "cannot split this" in table["detail"][0].as_py()


def test_preparing_twice_gives_the_same_bytes():
    """Ray matches the blocks of a task that it runs again by their index."""
    content = lines(*({"id": str(i), "text": f"Pax{i} in mice. Again."} for i in range(50)))
    assert prepared(content).equals(prepared(content))
    assert prepared(content).schema == TOKENIZED


@pytest.mark.parametrize("window_pieces", [0, 64])
def test_a_long_document_is_tokenized_in_parts_with_the_same_result(monkeypatch, window_pieces):
    document = Document("a", "Pax6 acts in mice. " * 200, (Section("s", 0, 19 * 200),))
    whole = tokenize([document, document], TOKENIZER, 510, window_pieces)
    monkeypatch.setattr(tokens, "BATCH", 500)
    parts = tokenize([document, document], TOKENIZER, 510, window_pieces)
    assert {name: values.to_pylist() for name, values in parts.items()} == {
        name: values.to_pylist() for name, values in whole.items()
    }
