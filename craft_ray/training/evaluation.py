"""Scores of a checkpoint: against gold words and tags, and against the standoff mentions of whole documents."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from craft_ray.model.windows import Subwords, Windower
from craft_ray.training.corpora import TaggedSentence, mention_keys
from craft_ray.training.craft import GoldDocument
from craft_ray.training.errors import list_errors
from craft_ray.training.metrics import (
    Counts,
    confusion,
    expected_calibration_error,
    is_right,
    score_by_label,
    score_relaxed,
    total,
)


def evaluate_tokens(
    checkpoint: Checkpoint,
    gold: Sequence[TaggedSentence],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Precision, recall and F1 of mentions, token accuracy and loss, in the words the corpus has.

    Counted as the published CRAFT card counts: entity level over IOB2 tags, accuracy over words, and loss as the mean
    cross-entropy over words. Sentences are taken for those of one document, in order.

    seen: keys of the mentions that training showed (`corpora.mention_keys`); those of the checkpoint if None

    Raises SettingsError if the corpus has labels that the model does not know.
    """
    tags = checkpoint.tags
    found = _Words.predicted(checkpoint, gold, lambda: model or Model.of(checkpoint))
    score = calibrated(found.raw_score, checkpoint.calibration)
    words = [word for s in gold for word in s.words]
    seen = checkpoint.seen if seen is None else seen
    in_training = (_seen(s, words, tags, seen) for s in (found.gold, found.spans))
    return _report(found.gold, found.spans, score, tags.names, *in_training) | {
        "accuracy": float((found.label == found.gold_label).mean()),
        "loss": found.loss,
        "words": len(words),
        "sentences": len(gold),
        "seconds": found.seconds,
    }


def calibrate(checkpoint: Checkpoint, gold: Sequence[TaggedSentence]) -> tuple[float, float]:
    """The calibration that a checkpoint should have by a development set that it was not trained on."""
    found = _Words.predicted(checkpoint, gold, lambda: Model.of(checkpoint, "fp32"))
    return fit_calibration(found.raw_score, is_right(found.gold, found.spans))


@dataclass(frozen=True, slots=True)
class _Words:
    """A corpus of words as gold has it and as a model labels it.

    gold_label, label: (words,) label ids; raw_score: (mentions,) of `spans`, not calibrated
    """

    gold_label: NDArray[np.int8]
    label: NDArray[np.int8]
    gold: Spans
    spans: Spans
    raw_score: NDArray[np.float32]
    loss: float
    seconds: float

    @classmethod
    def predicted(
        cls,
        checkpoint: Checkpoint,
        gold: Sequence[TaggedSentence],
        load: Callable[[], Model],
    ) -> "_Words":
        """load: gives the model, once the corpus is known to suit it"""
        tags = checkpoint.tags
        gold_label, sentence = gold_arrays(gold, checkpoint)
        model = load()
        began = time.perf_counter()
        pieces, windows = Windower.of(checkpoint)([s.words for s in gold])
        logits = model.logits(windows.token_ids, windows.window_length, windows.word_piece)
        seconds = time.perf_counter() - began

        word = _word_positions(gold, pieces)
        label = np.full(len(gold_label), np.flatnonzero(tags.label < 0)[0], np.int8)  # that of a word without a piece
        probability = np.zeros(len(gold_label), np.float32)
        label[word], probability[word] = _answers(logits)
        spans = iob_to_spans(label, sentence, tags)
        return cls(
            gold_label=gold_label,
            label=label,
            gold=iob_to_spans(gold_label, sentence, tags),
            spans=spans,
            raw_score=span_means(probability, spans.first, spans.last),
            loss=_loss(logits, gold_label[word]),
            seconds=seconds,
        )


def evaluate_documents(
    checkpoint: Checkpoint,
    gold: Sequence[GoldDocument],
    model: Model | None = None,
    seen: NDArray[np.int64] | None = None,
    grounder: Grounder | None = None,
) -> tuple[dict[str, Any], pa.Table]:
    """The whole annotation path against standoff: a mention is right if its span and its label are exactly gold's.

    Returns scores, and the mentions that were missed or invented as rows of `errors.ERRORS`. `relaxed` of the scores
    takes a mention for right that overlaps one of gold's with the same label.

    Gold mentions in several pieces are counted as `discontinuous` and left out. Accuracy and loss are over the words
    that annotation makes, tagged by the mentions as `corpora.tag_words` does.

    grounder: scores mentions and leaves some out, which are counted as `left_out`; none are without it

    Raises SettingsError if the mentions have labels that the model does not know.
    """
    tags = checkpoint.tags
    length = np.array([len(document.text) for document in gold])
    shift = np.cumsum(length) - length  # all texts count as one, so that spans of different documents differ
    mentions = [(m.start + at, m.end + at, m.label) for d, at in zip(gold, shift, strict=True) for m in d.mentions]
    gold_spans = _spans([m[0] for m in mentions], [m[1] for m in mentions], [m[2] for m in mentions], tags)
    model = model or Model.of(checkpoint)
    documents = [document_of(d.doc_id, d.text) for d in gold]
    began = time.perf_counter()
    tokens = tokenize(documents, Windower.of(checkpoint))
    logits = np.concatenate([_document_logits(model, tokens, number) for number in range(len(gold))])
    label, probability = _answers(logits)
    entities, _ = decode(with_predictions(documents, tokens, label, probability), Decoder.of(checkpoint))
    left_out = 0
    if grounder is not None:
        entities, left_out = grounder.ground(entities, [document.text for document in documents])
        left_out = left_out.num_rows
    seconds = time.perf_counter() - began

    base = shift[entities["row"].to_numpy()]
    spans = _spans(
        entities["start"].to_numpy() + base, entities["end"].to_numpy() + base, entities["label"].to_pylist(), tags
    )
    number = tag_numbers(checkpoint)
    gold_tags = np.array([number[tag] for i, d in enumerate(gold) for tag in _gold_tags(tokens, i, d)], np.int8)
    text = "".join(document.text for document in gold)
    seen = checkpoint.seen if seen is None else seen
    in_training = (_seen(s, text, tags, seen) for s in (gold_spans, spans))
    report = _report(gold_spans, spans, entities["score"].to_numpy(), tags.names, *in_training) | {
        "relaxed": score_relaxed(gold_spans, spans, tags.names),
        "accuracy": float((label == gold_tags).mean()),
        "loss": _loss(logits, gold_tags),
        "discontinuous": sum(sum(document.discontinuous.values()) for document in gold),
        "left_out": left_out,
        "documents": len(gold),
        "words": len(label),
        "seconds": seconds,
    }
    return report, list_errors(gold, gold_spans, spans, tags.names)


def tag_numbers(checkpoint: Checkpoint) -> dict[str, int]:
    """The label id of each IOB2 tag that a checkpoint knows."""
    tags, number = checkpoint.tags, dict[str, int]()
    for i in range(len(checkpoint.id2label)):
        prefix = "O" if tags.label[i] < 0 else "B-" if tags.begins[i] else "I-"
        number.setdefault(prefix if prefix == "O" else prefix + tags.names[tags.label[i]], i)
    return number


def gold_arrays(gold: Sequence[TaggedSentence], checkpoint: Checkpoint) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Gold tags as the model's label ids, and each word's sentence number; both (words,)."""
    number = tag_numbers(checkpoint)
    try:
        ids = np.array([number[tag] for sentence in gold for tag in sentence.tags], np.int8)
    except KeyError as error:
        raise SettingsError(f"the corpus has the tag {error.args[0]}, which the model does not know") from error
    lengths = [len(sentence.words) for sentence in gold]
    return ids, np.repeat(np.arange(len(gold), dtype=np.int32), lengths)


def _answers(logits: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Label id and its probability, as `Model.predict` gives them."""
    best = torch.from_numpy(logits).softmax(-1).max(-1)
    return best.indices.to(torch.int8).numpy(), best.values.numpy()


def _document_logits(model: Model, tokens: dict[str, pa.ListArray], number: int) -> NDArray[np.float32]:
    """(words, labels) of one document of `prepare.tokenize`."""
    return model.logits(*(tokens[name][number].values.to_numpy() for name in TOKEN_COLUMNS))


def _gold_tags(tokens: dict[str, pa.ListArray], number: int, document: GoldDocument) -> list[str]:
    """The tags that a document's mentions give the words that annotation makes."""
    start, end, sentence = (
        tokens[name][number].values.to_numpy() for name in ("word_start", "word_end", "word_sentence")
    )
    return tag_words(start, end, sentence, document.mentions)


def _spans(
    start: Sequence[int] | NDArray[np.integer],
    end: Sequence[int] | NDArray[np.integer],
    label: list[str],
    tags: TagSet,
) -> Spans:
    """Mentions by offsets as spans, in which a code point counts as a word does elsewhere."""
    if unknown := set(label) - set(tags.names):
        raise SettingsError(f"the corpus has the label {min(unknown)}, which the model does not know")
    number = np.array([tags.names.index(name) for name in label], np.int8)
    return Spans(np.asarray(start, np.int64), np.asarray(end, np.int64) - 1, number)


def _seen(
    spans: Spans, source: Sequence[str], tags: TagSet, seen: NDArray[np.int64] | None
) -> NDArray[np.bool_] | None:
    """True for each mention whose text training showed under its label; `source` is a text or a list of words."""
    if seen is None:
        return None
    surfaces = ["".join(source[first : last + 1]) for first, last, _ in spans.rows().tolist()]
    return np.isin(mention_keys([tags.names[i] for i in spans.label], surfaces), seen)


def _report(
    gold: Spans,
    predicted: Spans,
    score: NDArray[np.float32],
    names: Sequence[str],
    gold_seen: NDArray[np.bool_] | None,
    predicted_seen: NDArray[np.bool_] | None,
) -> dict[str, Any]:
    """Scores of mentions for both evaluations; `seen` and `unseen` are None if the training corpus is not known."""
    by_label = score_by_label(gold, predicted, names)
    parts: dict[str, Any] = {"seen": None, "unseen": None}
    if gold_seen is not None and predicted_seen is not None:
        for part, wanted in (("seen", True), ("unseen", False)):
            counts = score_by_label(gold, predicted, names, gold_seen == wanted, predicted_seen == wanted)
            parts[part] = _figures(counts)
    right = is_right(gold, predicted)
    return (
        _figures(by_label)
        | parts
        | {"ece": expected_calibration_error(score, right), "confusion": confusion(gold, predicted, names)}
    )


def _figures(by_label: dict[str, Counts]) -> dict[str, Any]:
    return total(by_label.values()).report() | {"per_label": {name: c.report() for name, c in by_label.items()}}


def _word_positions(gold: Sequence[TaggedSentence], pieces: Subwords) -> NDArray[np.int64]:
    """Where each word that has a piece stands among all words of the corpus."""
    lengths = np.array([len(sentence.words) for sentence in gold])
    positions: NDArray[np.int64] = (np.cumsum(lengths) - lengths)[pieces.word_sentence] + pieces.word_index
    return positions


def _loss(logits: NDArray[np.float32], gold_tags: NDArray[np.int8]) -> float:
    """Mean cross-entropy over words, in nats."""
    gold = torch.from_numpy(gold_tags.astype(np.int64))
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), gold))
