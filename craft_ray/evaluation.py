"""Scores of a checkpoint against gold words and tags."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.checkpoint import Checkpoint
from craft_ray.corpora import TaggedSentence
from craft_ray.errors import SettingsError
from craft_ray.labels import TagSet
from craft_ray.metrics import Counts, score_by_label
from craft_ray.model import Model
from craft_ray.spans import find_spans
from craft_ray.windows import Windows, make_windows


def evaluate_tokens(
    checkpoint: Checkpoint, gold: Sequence[TaggedSentence], model: Model | None = None
) -> dict[str, Any]:
    """Precision, recall and F1 of mentions, token accuracy and loss, in the words the corpus has.

    Counted as the published CRAFT card counts: entity level over IOB2 tags, accuracy over words, and loss as the mean
    cross-entropy over words.

    Raises SettingsError if the corpus has labels that the model does not know.
    """
    model = model or Model(checkpoint)
    tags = checkpoint.tags
    gold_tags, sentence = gold_arrays(gold, tags, checkpoint.id2label)
    began = time.perf_counter()
    windows = make_windows(Tokenizer.from_str(checkpoint.tokenizer), [s.words for s in gold], checkpoint.max_pieces)
    logits = model.logits(windows.token_ids, windows.window_length, windows.word_piece)
    seconds = time.perf_counter() - began

    word = _word_positions(gold, windows)
    outside = int(np.flatnonzero(tags.label < 0)[0])
    predicted = np.full(len(gold_tags), outside, np.int8)  # a word without a piece gets no label
    predicted[word] = logits.argmax(-1)
    by_label = score_by_label(find_spans(gold_tags, sentence, tags), find_spans(predicted, sentence, tags), tags.names)
    return {
        **sum(by_label.values(), Counts()).report(),
        "accuracy": float((predicted == gold_tags).mean()),
        "loss": _loss(logits, gold_tags[word]),
        "per_label": {name: counts.report() for name, counts in by_label.items()},
        "words": len(gold_tags),
        "sentences": len(gold),
        "seconds": seconds,
    }


def gold_arrays(
    gold: Sequence[TaggedSentence], tags: TagSet, id2label: dict[int, str]
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Gold tags as the model's label ids, and each word's sentence number; both (words,)."""
    number: dict[str, int] = {}
    for i in range(len(id2label)):
        prefix = "O" if tags.label[i] < 0 else "B-" if tags.begins[i] else "I-"
        number.setdefault(prefix if prefix == "O" else prefix + tags.names[tags.label[i]], i)
    try:
        ids = np.array([number[tag] for sentence in gold for tag in sentence.tags], np.int8)
    except KeyError as error:
        raise SettingsError(f"the corpus has the tag {error.args[0]}, which the model does not know") from error
    lengths = [len(sentence.words) for sentence in gold]
    return ids, np.repeat(np.arange(len(gold), dtype=np.int32), lengths)


def _word_positions(gold: Sequence[TaggedSentence], windows: Windows) -> NDArray[np.int64]:
    """Where each word of the windows stands among all words of the corpus."""
    lengths = np.array([len(sentence.words) for sentence in gold])
    positions: NDArray[np.int64] = (np.cumsum(lengths) - lengths)[windows.word_sentence] + windows.word_index
    return positions


def _loss(logits: NDArray[np.float32], gold_tags: NDArray[np.int8]) -> float:
    """Mean cross-entropy over words, in nats."""
    gold = torch.from_numpy(gold_tags.astype(np.int64))
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), gold))
