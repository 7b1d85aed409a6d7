"""Evaluate a checkpoint, against tagged words or against the standoff mentions of whole documents."""

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from craft_ray.concepts.grounding import Grounder
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import document_of
from craft_ray.model.calibration import calibrated, fit_calibration
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder, decode, span_means
from craft_ray.model.inference import Model
from craft_ray.model.tags import Spans, TagSet, iob_to_spans, tag_words
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize, with_predictions
from craft_ray.model.windows import Windower
from craft_ray.training.corpora import GoldDocument, TaggedSentence
from craft_ray.training.mention_errors import list_errors
from craft_ray.training.metrics import (
    Counts,
    confusion,
    expected_calibration_error,
    is_correct,
    score_by_label,
    score_relaxed,
    total,
)
from craft_ray.training.seen_mentions import mention_keys


def evaluate_tokens(
    checkpoint: Checkpoint,
    gold: Sequence[TaggedSentence],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Precision, recall and F1 of mentions, and accuracy and loss over words, in the corpus's own words.

    Figures are those of the published CRAFT card: entity level over IOB2 tags as `seqeval` counts, and loss as the mean
    cross-entropy. Sentences are treated as one document, in order.

    seen: keys of the mentions in training (see `seen_mentions`); None for the checkpoint's own

    Raises SettingsError if the corpus has labels that the model does not know.
    """
    gold_spans, spans, raw_score, figures = _predict_words(checkpoint, gold, model)
    score = calibrated(raw_score, checkpoint.calibration)
    words = [word for sentence in gold for word in sentence.words]
    seen = checkpoint.seen if seen is None else seen
    scores = _mention_scores(gold_spans, spans, score, checkpoint.tags, words, seen)
    return scores | figures | {"words": len(words), "sentences": len(gold)}


def calibrate(checkpoint: Checkpoint, gold: Sequence[TaggedSentence]) -> tuple[float, float]:
    """Fit the calibration of a checkpoint's scores on a development set that it was not trained on."""
    gold_spans, spans, raw_score, _ = _predict_words(checkpoint, gold, Model.of(checkpoint, "fp32"))
    return fit_calibration(raw_score, is_correct(gold_spans, spans))


def _predict_words(
    checkpoint: Checkpoint, gold: Sequence[TaggedSentence], model: Model | None
) -> tuple[Spans, Spans, NDArray[np.float32], dict[str, float]]:
    """Gold's and the model's mentions, the scores of the latter before calibration, and accuracy, loss and seconds."""
    tags = checkpoint.tags
    gold_label, sentence = gold_arrays(gold, checkpoint)
    model = model or Model.of(checkpoint)
    began = time.perf_counter()
    subwords, windows = Windower.of(checkpoint)([s.words for s in gold])
    logits = model.logits(windows.token_ids, windows.window_length, windows.word_piece)
    seconds = time.perf_counter() - began

    first_word = np.searchsorted(sentence, np.arange(len(gold)))
    word = first_word[subwords.word_sentence] + subwords.word_index
    label = np.full(len(gold_label), np.flatnonzero(tags.label < 0)[0], np.int8)  # O for words without a token
    probability = np.zeros(len(gold_label), np.float32)
    label[word], probability[word] = _best_labels(logits)
    spans = iob_to_spans(label, sentence, tags)
    figures = {
        "accuracy": float((label == gold_label).mean()),
        "loss": _loss(logits, gold_label[word]),
        "seconds": seconds,
    }
    gold_spans = iob_to_spans(gold_label, sentence, tags)
    return gold_spans, spans, span_means(probability, spans.first, spans.last), figures


def evaluate_documents(
    checkpoint: Checkpoint,
    gold: Sequence[GoldDocument],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
    grounder: Grounder | None = None,
) -> tuple[dict[str, Any], pa.Table]:
    """Run the whole annotation path on texts; a mention is correct if span and label equal gold's.

    Returns scores, and the missed and invented mentions as rows of `mention_errors.ERRORS`. In the scores, `relaxed`
    accepts a mention that overlaps a gold mention of the same label. Discontinuous gold mentions are left out and
    counted as `discontinuous`. Accuracy and loss are over the words that annotation makes, tagged by gold's mentions.

    grounder: rescores mentions and drops some, counted as `left_out`; None to keep all with the network's scores

    Raises SettingsError if the mentions have labels that the model does not know.
    """
    tags = checkpoint.tags
    # Spans of all documents index one text, the documents' texts joined.
    text = "".join(document.text for document in gold)
    offsets = list(accumulate((len(document.text) for document in gold), initial=0))
    gold_spans = _spans(
        [(m.start, m.end, m.label, row) for row, d in enumerate(gold) for m in d.mentions], offsets, tags
    )
    model = model or Model.of(checkpoint)
    documents = [document_of(d.doc_id, d.text) for d in gold]

    began = time.perf_counter()
    tokens = tokenize(documents, Windower.of(checkpoint))
    logits = np.concatenate(
        [model.logits(*(tokens[name][row].values.to_numpy() for name in TOKEN_COLUMNS)) for row in range(len(gold))]
    )
    label, probability = _best_labels(logits)
    entities, _ = decode(with_predictions(documents, tokens, label, probability), Decoder.of(checkpoint))
    left_out = 0
    if grounder is not None:
        entities, dropped = grounder.ground(entities, [document.text for document in documents])
        left_out = dropped.num_rows
    seconds = time.perf_counter() - began

    columns = (entities[name].to_pylist() for name in ("start", "end", "label", "row"))
    spans = _spans(list(zip(*columns, strict=True)), offsets, tags)
    label_ids = label_ids_by_tag(checkpoint)
    gold_tags = np.array([label_ids[tag] for row, d in enumerate(gold) for tag in _gold_tags(tokens, row, d)], np.int8)
    seen = checkpoint.seen if seen is None else seen
    scores = _mention_scores(gold_spans, spans, entities["score"].to_numpy(), tags, text, seen) | {
        "relaxed": score_relaxed(gold_spans, spans, tags.names),
        "accuracy": float((label == gold_tags).mean()),
        "loss": _loss(logits, gold_tags),
        "discontinuous": sum(document.discontinuous for document in gold),
        "left_out": left_out,
        "documents": len(gold),
        "words": len(label),
        "seconds": seconds,
    }
    return scores, list_errors(gold, gold_spans, spans, tags.names)


def label_ids_by_tag(checkpoint: Checkpoint) -> dict[str, int]:
    """The label id of each IOB2 tag that the checkpoint knows."""
    tags, ids = checkpoint.tags, dict[str, int]()
    for i in range(len(checkpoint.id2label)):
        prefix = "O" if tags.label[i] < 0 else "B-" if tags.begins[i] else "I-"
        ids.setdefault(prefix if prefix == "O" else prefix + tags.names[tags.label[i]], i)
    return ids


def gold_arrays(gold: Sequence[TaggedSentence], checkpoint: Checkpoint) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Gold tags as the model's label ids, and the sentence number of each word; both (words,)."""
    label_ids = label_ids_by_tag(checkpoint)
    try:
        ids = np.array([label_ids[tag] for sentence in gold for tag in sentence.tags], np.int8)
    except KeyError as error:
        raise SettingsError(f"the corpus has the tag {error.args[0]}, which the model does not know") from error
    lengths = [len(sentence.words) for sentence in gold]
    return ids, np.repeat(np.arange(len(gold), dtype=np.int32), lengths)


def _best_labels(logits: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Label id and its probability, as `Model.predict` returns them."""
    best = torch.from_numpy(logits).softmax(-1).max(-1)
    return best.indices.to(torch.int8).numpy(), best.values.numpy()


def _gold_tags(tokens: dict[str, pa.ListArray], row: int, document: GoldDocument) -> list[str]:
    """Tags of the words that annotation makes of a document."""
    start, end, sentence = (tokens[name][row].values.to_numpy() for name in ("word_start", "word_end", "word_sentence"))
    return tag_words(start, end, sentence, document.mentions)


def _spans(mentions: Sequence[tuple[int, int, str, int]], offsets: Sequence[int], tags: TagSet) -> Spans:
    """Mentions, given as start, end, label and row of their document, as spans of code points in the joined texts."""
    if unknown := {label for _, _, label, _ in mentions} - set(tags.names):
        raise SettingsError(f"the corpus has the label {min(unknown)}, which the model does not know")
    return Spans(
        np.array([start + offsets[row] for start, _, _, row in mentions], np.int64),
        np.array([end + offsets[row] - 1 for _, end, _, row in mentions], np.int64),
        np.array([tags.names.index(label) for _, _, label, _ in mentions], np.int8),
    )


def _mention_scores(
    gold: Spans,
    predicted: Spans,
    score: NDArray[np.float32],
    tags: TagSet,
    source: Sequence[str],
    seen: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """The scores that both evaluations have; `seen` and `unseen` are None without keys.

    source: the text or the words that spans index
    seen:   keys of the mentions in training
    """
    parts: dict[str, Any] = {"seen": None, "unseen": None}
    if seen is not None:
        is_seen = [np.isin(_keys(spans, source, tags), seen) for spans in (gold, predicted)]
        for part, masks in (("seen", is_seen), ("unseen", [~mask for mask in is_seen])):
            kept_gold, kept = (
                Spans(spans.first[mask], spans.last[mask], spans.label[mask])
                for spans, mask in zip((gold, predicted), masks, strict=True)
            )
            parts[part] = _figures(score_by_label(kept_gold, kept, tags.names))
    return (
        _figures(score_by_label(gold, predicted, tags.names))
        | parts
        | {
            "ece": expected_calibration_error(score, is_correct(gold, predicted)),
            "confusion": confusion(gold, predicted, tags.names),
        }
    )


def _keys(spans: Spans, source: Sequence[str], tags: TagSet) -> NDArray[np.int64]:
    return mention_keys(
        (tags.names[label], "".join(source[first : last + 1])) for first, last, label in spans.rows().tolist()
    )


def _figures(by_label: dict[str, Counts]) -> dict[str, Any]:
    return total(by_label.values()).report() | {"per_label": {name: c.report() for name, c in by_label.items()}}


def _loss(logits: NDArray[np.float32], gold_label: NDArray[np.int8]) -> float:
    """Mean cross-entropy over words, in nats."""
    gold = torch.from_numpy(gold_label.astype(np.int64))
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), gold))
