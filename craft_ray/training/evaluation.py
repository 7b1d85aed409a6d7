"""Evaluate a checkpoint, against sentences or against the standoff mentions of whole documents."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.grounding import Grounder
from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import document_of
from craft_ray.model.calibration import calibrated, fit_calibration
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.inference import Model
from craft_ray.model.tags import Predictions, Spans, TagSet, find_mentions
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize, with_predictions
from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Units
from craft_ray.training.corpora import GoldDocument, Sentence, mention_keys
from craft_ray.training.examples import Head, unit_tags
from craft_ray.training.metrics import (
    Counts,
    confusion,
    expected_calibration_error,
    is_correct,
    score_by_label,
    score_relaxed,
    total,
)

CONTEXT = 40
"""Characters of context on each side of a mention."""

ERRORS = pa.schema(
    [
        ("error", pa.string()),
        ("doc_id", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("label", pa.string()),
        ("mention", pa.string()),
        ("instead", pa.string()),
        ("context", pa.string()),
    ]
)
"""`error` is `missed` or `invented`; `instead` lists the overlapping mentions of the other side."""


def evaluate_tokens(
    checkpoint: Checkpoint,
    gold: Sequence[Sentence],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Precision, recall and F1 of mentions, and accuracy and loss over units: words, or pieces if it labels them.

    Figures are those of the published CRAFT card: entity level over IOB2 tags as `seqeval` counts, and loss as the mean
    cross-entropy. Sentences are treated as one document, in order, and mentions are not refined.

    seen: keys of the mentions in training (see `seen_mentions`); None for the checkpoint's own

    Raises SettingsError if the corpus has labels that the model does not know.
    """
    gold_spans, spans, raw_score, figures = _predict_sentences(checkpoint, gold, model)
    score = calibrated(raw_score, checkpoint.calibration)
    text = "\n".join(sentence.text for sentence in gold)
    seen = checkpoint.seen if seen is None else seen
    return _mention_scores(gold_spans, spans, score, checkpoint.tags, text, seen) | figures | {"sentences": len(gold)}


def calibrate(checkpoint: Checkpoint, gold: Sequence[Sentence]) -> tuple[float, float]:
    """Fit the calibration of a checkpoint's scores on a development set that it was not trained on."""
    gold_spans, spans, raw_score, _ = _predict_sentences(checkpoint, gold, Model.of(checkpoint, "fp32"))
    return fit_calibration(raw_score, is_correct(gold_spans, spans))


def _predict_sentences(
    checkpoint: Checkpoint, gold: Sequence[Sentence], model: Model | None
) -> tuple[Spans, Spans, NDArray[np.float32], dict[str, float]]:
    """Gold's and the model's mentions, the scores of the latter before calibration, and accuracy, loss and seconds.

    Spans index the sentences' texts joined by line ends.
    """
    tags = checkpoint.tags
    base = np.cumsum([0, *(len(sentence.text) + 1 for sentence in gold)])
    mentions = [(m.start, m.end, m.label, number) for number, one in enumerate(gold) for m in one.mentions]
    gold_spans = _spans(mentions, base, tags)
    model = model or Model.of(checkpoint)
    began = time.perf_counter()
    units, windows = Windower.of(checkpoint)([sentence.text for sentence in gold])
    logits = model.logits(windows.token_ids, windows.window_length, windows.unit_piece)
    predictions, label = _best_labels(logits, units.inner, tags)
    found, score = find_mentions(predictions, units.sentence, units.inner, tags)
    scored = np.isin(found.label, gold_spans.label)
    found, score = found.take(scored), score[scored]
    seconds = time.perf_counter() - began
    start, end = (base[units.sentence] + offset for offset in (units.start, units.end))
    spans = Spans(start[found.first].astype(np.int64), end[found.last].astype(np.int64) - 1, found.label)
    return gold_spans, spans, score, _unit_figures(logits, label, gold, units, tags) | {"seconds": seconds}


def evaluate_documents(
    checkpoint: Checkpoint,
    gold: Sequence[GoldDocument],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
    grounder: Grounder | None = None,
) -> tuple[dict[str, Any], pa.Table]:
    """Run the whole annotation path on texts; a mention is correct if span and label equal gold's.

    Returns scores, and the missed and invented mentions as rows of ERRORS. In the scores, `relaxed`
    accepts a mention that overlaps a gold mention of the same label. Discontinuous gold mentions are left out and
    counted as `discontinuous`, predictions of labels that gold does not have as `unscored`. Accuracy and loss are over
    the units that annotation makes, tagged by gold's mentions.

    grounder: rescores mentions and drops some, counted as `left_out`; None to keep all with the network's scores

    Raises SettingsError if the mentions have labels that the model does not know.
    """
    tags = checkpoint.tags
    # Spans of all documents index one text, the documents' texts joined.
    text = "".join(document.text for document in gold)
    offsets = np.cumsum([0, *(len(document.text) for document in gold)])
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
    inner = tokens["unit_inner"].flatten().to_numpy(zero_copy_only=False)
    predictions, label = _best_labels(logits, inner, tags)
    entities, _ = decode(with_predictions(documents, tokens, predictions), Decoder.of(checkpoint))
    left_out = 0
    if grounder is not None:
        entities, dropped = grounder.ground(entities, [document.text for document in documents])
        left_out = dropped.num_rows
    seconds = time.perf_counter() - began

    scored = np.isin(entities["label"].to_numpy(), [tags.names[label] for label in set(gold_spans.label.tolist())])
    entities, unscored = entities.filter(pa.array(scored)), int((~scored).sum())
    columns = (entities[name].to_pylist() for name in ("start", "end", "label", "row"))
    spans = _spans(list(zip(*columns, strict=True)), offsets, tags)
    row = np.repeat(np.arange(len(gold), dtype=np.int32), tokens["unit_start"].value_lengths().to_numpy())
    start, end = (tokens[name].flatten().to_numpy() for name in ("unit_start", "unit_end"))
    units = Units(row, row, start, end, np.zeros(len(row), np.bool_))
    sentences = [Sentence(document.text, document.mentions) for document in gold]
    seen = checkpoint.seen if seen is None else seen
    scores = (
        _mention_scores(gold_spans, spans, entities["score"].to_numpy(), tags, text, seen)
        | _unit_figures(logits, label, sentences, units, tags)
        | {
            "relaxed": score_relaxed(gold_spans, spans, tags.names),
            "discontinuous": sum(document.discontinuous for document in gold),
            "left_out": left_out,
            "unscored": unscored,
            "documents": len(gold),
            "seconds": seconds,
        }
    )
    return scores, list_errors(gold, gold_spans, spans, tags.names)


def _best_labels(
    logits: NDArray[np.float32], inner: NDArray[np.bool_], tags: TagSet
) -> tuple[Predictions, NDArray[np.int8]]:
    """The predictions that `Model.predict` returns, and the best label id in each group, (units, groups)."""
    share = np.exp(_log_shares(logits, tags))
    label = (share.argmax(-1) + np.arange(tags.groups) * share.shape[-1]).astype(np.int8)
    return Predictions.of(label, share.max(-1), tags.label < 0, inner), label


def _log_shares(logits: NDArray[np.float32], tags: TagSet) -> NDArray[np.float32]:
    """(units, groups, label ids of a group): logarithms of the probabilities."""
    in_group = logits.reshape(len(logits), tags.groups, -1)
    in_group = in_group - in_group.max(-1, keepdims=True)
    shares: NDArray[np.float32] = in_group - np.log(np.exp(in_group).sum(-1, keepdims=True))
    return shares


def _unit_figures(
    logits: NDArray[np.float32], label: NDArray[np.int8], gold: Sequence[Sentence], units: Units, tags: TagSet
) -> dict[str, float]:
    """Accuracy and mean cross-entropy, in nats, over units and groups of labels.

    label: (units, groups) best label ids
    """
    meaning = 2 * tags.label.astype(np.int64) + tags.begins  # the same for `S-` and `B-` of a label
    of_gold = meaning[_gold_labels(gold, units, tags)]
    right = of_gold[..., None] == meaning.reshape(tags.groups, -1)
    log_share = np.logaddexp.reduce(_log_shares(logits, tags), axis=-1, where=right, initial=-np.inf)
    accuracy = float((meaning[label] == of_gold).mean())
    return {"accuracy": accuracy, "loss": -float(log_share.mean(dtype=np.float64)), "units": len(label)}


def _gold_labels(gold: Sequence[Sentence], units: Units, tags: TagSet) -> NDArray[np.int8]:
    """(units, groups) label id of each unit by gold's mentions."""
    size = len(tags.label) // tags.groups
    of_group = [tags.label[first : first + size] for first in range(0, len(tags.label), size)]
    labels = [list(dict.fromkeys(own[own >= 0].tolist())) for own in of_group]
    head = Head(tuple(tuple(tags.names[label] for label in own) for own in labels))
    # The label id of each group's tags in the order of `Head`: O, then B and I of each label.
    ids = np.zeros((tags.groups, max(head.sizes)), np.int8)
    for group, own in enumerate(labels):
        in_group = np.arange(group * size, (group + 1) * size)
        wanted = [(-1, False), *((label, begins) for label in own for begins in (True, False))]
        for index, (label, begins) in enumerate(wanted):
            matching = in_group[tags.label[in_group] == label]
            ids[group, index] = min(matching, key=lambda i: tags.begins[i] != begins)
    places = {name: (group, index) for group, own in enumerate(head.groups) for index, name in enumerate(own)}
    result: NDArray[np.int8] = ids[np.arange(tags.groups), unit_tags(gold, units, head, places)]
    return result


def _spans(mentions: Sequence[tuple[int, int, str, int]], offsets: NDArray[np.int64], tags: TagSet) -> Spans:
    """Mentions, given as start, end, label and number of their text, as spans of code points in the joined texts."""
    if unknown := {label for _, _, label, _ in mentions} - set(tags.names):
        raise SettingsError(f"the corpus has the label {min(unknown)}, which the model does not know")
    return Spans(
        np.array([start + offsets[number] for start, _, _, number in mentions], np.int64),
        np.array([end + offsets[number] - 1 for _, end, _, number in mentions], np.int64),
        np.array([tags.names.index(label) for _, _, label, _ in mentions], np.int8),
    )


def _mention_scores(
    gold: Spans,
    predicted: Spans,
    score: NDArray[np.float32],
    tags: TagSet,
    text: str,
    seen: NDArray[np.int64] | None,
) -> dict[str, Any]:
    """The scores that both evaluations have; `seen` and `unseen` are None without keys.

    text: the text that spans index
    seen: keys of the mentions in training
    """
    labels = sorted(set(gold.label.tolist()))

    def figures(gold: Spans, predicted: Spans) -> dict[str, Any]:
        counts = score_by_label(gold, predicted, tags.names)
        return _figures({tags.names[label]: counts[tags.names[label]] for label in labels})

    parts: dict[str, Any] = {"seen": None, "unseen": None}
    if seen is not None:
        is_seen = [np.isin(_keys(spans, text, tags), seen) for spans in (gold, predicted)]
        for part, masks in (("seen", is_seen), ("unseen", [~mask for mask in is_seen])):
            parts[part] = figures(gold.take(masks[0]), predicted.take(masks[1]))
    return (
        figures(gold, predicted)
        | parts
        | {
            "ece": expected_calibration_error(score, is_correct(gold, predicted)),
            "confusion": confusion(gold, predicted, tags.names),
        }
    )


def _keys(spans: Spans, text: str, tags: TagSet) -> NDArray[np.int64]:
    return mention_keys((tags.names[label], text[first : last + 1]) for first, last, label in spans.rows().tolist())


def _figures(by_label: dict[str, Counts]) -> dict[str, Any]:
    return total(by_label.values()).report() | {"per_label": {name: c.report() for name, c in by_label.items()}}


def list_errors(documents: Sequence[GoldDocument], gold: Spans, predicted: Spans, names: Sequence[str]) -> pa.Table:
    """Rows of ERRORS, ordered by document and offset.

    A prediction with a wrong border or label counts twice: gold's mention is missed, and the prediction is invented.

    gold, predicted: spans of code points in the joined texts of all documents
    names:           of the labels
    """
    text = "".join(document.text for document in documents)
    ends = np.cumsum([len(document.text) for document in documents])
    rows = [*_wrong("missed", gold, predicted, names, text), *_wrong("invented", predicted, gold, names, text)]
    rows.sort(key=lambda row: (row["start"], row["end"], row["error"]))
    for row in rows:
        number = int(np.searchsorted(ends, row["start"], side="right"))
        text_end = int(ends[number])
        text_start = text_end - len(documents[number].text)
        start, end = row["start"], row["end"]
        row |= {"doc_id": documents[number].doc_id, "start": start - text_start, "end": end - text_start}
        row["context"] = text[max(text_start, start - CONTEXT) : min(text_end, end + CONTEXT)]
    return pa.Table.from_pylist(rows, ERRORS)


def _wrong(error: str, spans: Spans, others: Spans, names: Sequence[str], text: str) -> Iterator[dict[str, Any]]:
    """The mentions of one side that the other side does not have."""
    order = np.argsort(others.first, kind="stable")
    first = others.first[order]
    furthest = np.maximum.accumulate(others.last[order]) if len(order) else others.last
    for start, last, label in spans.rows()[~is_correct(others, spans)].tolist():
        # Others overlap only if they start by `last`, and not before the first one that reaches `start`.
        near = order[np.searchsorted(furthest, start) : np.searchsorted(first, last, side="right")]
        overlapping = [other for other in near.tolist() if others.last[other] >= start]
        yield {
            "error": error,
            "start": start,
            "end": last + 1,
            "label": names[label],
            "mention": text[start : last + 1],
            "instead": "; ".join(
                f"{names[others.label[o]]}: {text[others.first[o] : others.last[o] + 1]}" for o in overlapping
            )
            or None,
        }
