"""CoNLL: one word per line, its IOB2 tag last, a blank line between sentences; `corpora.read_iob` reads it.

Columns are the word, its start and end in code points of the document's text, and the tag, tabs between them. A
document begins with a line `-DOCSTART-` that holds its id. Sentences and words are those that the model read. A word
that a mention covers in part is tagged whole, and of mentions that overlap only the longest is written. Control
characters in words become U+FFFD, one each.
"""

import re
from functools import cache

import numpy as np
from tokenizers.pre_tokenizers import BertPreTokenizer

from craft_ray.export.formats.record import TABS_AND_BREAKS, Collection, Format, Record, Written, passages, plain_label
from craft_ray.model.sentences import sentence_spans
from craft_ray.model.tags import DOCSTART, Mention, align_mentions, spans_to_iob

_UNSEEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Conll:
    """Words with tags, in lines."""

    def __init__(self, collection: Collection) -> None:
        pass

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def add(self, record: Record) -> Written:
        """The lines of one document."""
        starts, ends, sentences = _words(record)
        start, end, sentence = (np.array(column, np.int64) for column in (starts, ends, sentences))
        mentions = [Mention(entity.start, entity.end, plain_label(entity.label)) for entity in record.entities]
        laid = align_mentions(start, end, mentions)
        text = record.text or ""
        lines = [f"{DOCSTART}\t{TABS_AND_BREAKS.sub(' ', record.doc_id)}\t-\tO\n"]
        before, altered = -1, False
        for at, to, number, tag in zip(starts, ends, sentences, spans_to_iob(laid, sentence), strict=True):
            word = text[at:to]
            if _UNSEEN.search(word):
                word, altered = _UNSEEN.sub(_REPLACEMENT, word), True
            lines.append(f"{'' if number == before else chr(10)}{word}\t{at}\t{to}\t{tag}\n")
            before = number
        return Written("".join([*lines, "\n"]).encode(), len(laid), altered)

    def end(self) -> bytes:
        """Nothing."""
        return b""


def _words(record: Record) -> tuple[list[int], list[int], list[int]]:
    """Start and end of each word of a document, and the number of its sentence."""
    text, starts, ends, sentences = record.text or "", [], [], []
    number = 0
    for part in passages(record):
        for at, to in sentence_spans(text, part.start, part.end):
            for _, (start, end) in _splitter().pre_tokenize_str(text[at:to]):
                starts.append(at + start)
                ends.append(at + end)
                sentences.append(number)
            number += 1
    return starts, ends, sentences


@cache
def _splitter() -> BertPreTokenizer:
    return BertPreTokenizer()


FORMAT = Format(Conll, ".conll")
