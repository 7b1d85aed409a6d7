"""CoNLL: one word per line with its IOB2 tag, a blank line between sentences. `corpora.read_iob` reads it.

Tab-separated columns are the word, its start and end in code points of the document's text, and the tag. A document
begins with a line `-DOCSTART-` and its id. Sentences and words are those of the model. A word that a mention covers
partly gets the tag, and only the longest of overlapping mentions is written. Control characters in words become U+FFFD.
"""

import re
from collections.abc import Sequence

import numpy as np
from tokenizers.pre_tokenizers import BertPreTokenizer

from craft_ray.export.formats.record import TABS_AND_BREAKS, Exporter, Format, Record, Written, passages, plain_label
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import DOCSTART, Mention, align_mentions

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SPLITTER = BertPreTokenizer()


class Conll(Exporter):
    def add(self, record: Record) -> Written:
        starts, ends, sentences = _words(record)
        start, end = np.array(starts, np.int64), np.array(ends, np.int64)
        mentions = [Mention(entity.start, entity.end, plain_label(entity.label)) for entity in record.entities]
        aligned = align_mentions(start, end, mentions)
        text = record.text or ""
        lines = [f"{DOCSTART}\t{TABS_AND_BREAKS.sub(' ', record.doc_id)}\t-\tO\n"]
        last, altered = -1, False
        for at, to, number, tag in zip(starts, ends, sentences, _tags(aligned, sentences), strict=True):
            word = text[at:to]
            if _CONTROL.search(word):
                word, altered = _CONTROL.sub(_REPLACEMENT, word), True
            lines.append(f"{'' if number == last else chr(10)}{word}\t{at}\t{to}\t{tag}\n")
            last = number
        return Written("".join([*lines, "\n"]).encode(), len(aligned), altered)


def _tags(aligned: Sequence[tuple[int, int, str]], sentences: Sequence[int]) -> list[str]:
    """The tag of each word. A mention that crosses a sentence boundary continues as a mention of its own."""
    tags = ["O"] * len(sentences)
    for first, to, label in aligned:
        for word in range(first, to):
            inside = word > first and sentences[word] == sentences[word - 1]
            tags[word] = f"{'I' if inside else 'B'}-{label}"
    return tags


def _words(record: Record) -> tuple[list[int], list[int], list[int]]:
    """Start, end and sentence number of each word."""
    text, starts, ends, sentences = record.text or "", [], [], []
    number = 0
    for part in passages(record):
        for at, to in sentence_spans(text, part.start, part.end):
            for _, (start, end) in _SPLITTER.pre_tokenize_str(text[at:to]):
                starts.append(at + start)
                ends.append(at + end)
                sentences.append(number)
            number += 1
    return starts, ends, sentences


FORMAT = Format(Conll, ".conll")
