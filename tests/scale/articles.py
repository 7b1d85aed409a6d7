"""Generated articles: words in the layout of JATS, some 70 KB of XML each, and archives of them as PMC has them."""

import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from craft_ray.model.loading import load_checkpoint
from tests.scale.citations import vocabulary

SECTIONS = ("Introduction", "Methods", "Results", "Discussion")
PARAGRAPHS, REFERENCES = 5, 60
"""Of a section, 200 words each; and of an article."""
BODIES = 1_000
"""Articles that differ in more than their numbers."""


@cache
def words() -> np.ndarray:
    """Words, the frequent ones first: six of one piece and one of several, so 1.4 pieces per word as in articles."""
    known = json.loads(load_checkpoint("stand-in").tokenizer)["model"]["vocab"]
    plain = [word for word in known if word.isalpha() and word.isascii() and len(word) > 1]
    mixed = [(*plain[at : at + 6], rare) for at, rare in zip(range(0, len(plain), 6), vocabulary(), strict=False)]
    return np.array([word for group in mixed for word in group])


@cache
def texts() -> np.ndarray:
    """5,000 texts of 200 words; frequencies fall as in language."""
    places = np.random.default_rng(1).zipf(1.3, (5_000, 200)) % len(words())
    return np.array([" ".join(each) for each in words()[places]], object)


def head(number: int) -> bytes:
    """The beginning of an article in JATS, up to its number."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><article xmlns:xlink="http://www.w3.org/1999/xlink" '
        'article-type="research-article"><front><journal-meta><journal-title-group><journal-title>Generated'
        "</journal-title></journal-title-group></journal-meta><article-meta>"
        f'<article-id pub-id-type="pmcid">PMC{number}</article-id>'
    ).encode()


def rest(number: int) -> bytes:
    """The rest of an article after its number: title, authors, abstract, body and references."""
    chance = np.random.default_rng(number)
    paragraphs = iter(chance.choice(texts(), len(SECTIONS) * PARAGRAPHS + 2))
    authors = "".join(
        f'<contrib contrib-type="author"><name><surname>{last.title()}</surname><given-names>{first.title()}'
        f'</given-names></name><xref ref-type="aff" rid="aff{place}">{place}</xref></contrib>'
        for place, (last, first) in enumerate(chance.choice(words(), (6, 2)))
    )
    sections = "".join(
        f"<sec><title>{title}</title>{''.join(_paragraph(next(paragraphs)) for _ in range(PARAGRAPHS))}</sec>"
        for title in SECTIONS
    )
    references = "".join(
        _reference(place, words) for place, words in enumerate(chance.choice(words(), (REFERENCES, 24)))
    )
    return (
        f"<title-group><article-title>{' '.join(chance.choice(words(), 14))}</article-title></title-group>"
        f"<contrib-group>{authors}</contrib-group><pub-date><year>{2000 + number % 25}</year></pub-date>"
        f"<abstract><p>{next(paragraphs)}</p></abstract></article-meta></front><body>{sections}"
        f'<fig id="f1"><label>Figure 1</label><caption><p>{next(paragraphs)}</p></caption></fig></body>'
        f"<back><ref-list>{references}</ref-list></back></article>"
    ).encode()


def _paragraph(text: str) -> str:
    """Words with what stands between them in articles: citations, italics, sentences."""
    words = text.split()
    for place in range(18, len(words), 18):
        words[place] = (
            f'{words[place]} [<xref ref-type="bibr" rid="r{place % REFERENCES}">{place % REFERENCES}</xref>].'
        )
    for place in range(7, len(words), 40):
        words[place] = f"<italic>{words[place]}</italic>"
    return f"<p>{' '.join(words)}</p>"


def _reference(place: int, words: np.ndarray) -> str:
    names = "".join(
        f"<name><surname>{last}</surname><given-names>{first[0]}</given-names></name>"
        for last, first in words[:8].reshape(4, 2)
    )
    return (
        f'<ref id="r{place}"><label>{place}</label><element-citation publication-type="journal"><person-group '
        f'person-group-type="author">{names}</person-group><article-title>{" ".join(words[8:22])}</article-title>'
        f"<source>{words[22]} {words[23]}</source><year>2001</year><volume>{place}</volume><fpage>1</fpage>"
        "</element-citation></ref>"
    )


def write_archive(path: Path, size: int) -> int:
    """A tar.gz of at least so many bytes; returns how many articles are in it.

    It is one stream of gzip whose pieces are packed each by itself: a head per article, and bodies that serve for
    many. So a gigabyte takes some ten seconds.
    """
    number, length, checksum = 0, 0, 0
    with path.open("wb") as file:
        file.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")  # gzip's header (RFC 1952): no name, no time, any system
        while not number or file.tell() < size:
            for plain, packed in _member(number):
                file.write(packed)
                length, checksum = length + len(plain), zlib.crc32(plain, checksum)
            number += 1
        end = bytes(2 * tarfile.BLOCKSIZE)
        file.write(_packed(end, zlib.Z_FINISH))
        file.write(struct.pack("<II", zlib.crc32(end, checksum), (length + len(end)) % (1 << 32)))
    return number


def _member(number: int) -> Iterator[tuple[bytes, bytes]]:
    """The pieces of a file of the archive, plain and packed; spaces within the article fill its last block."""
    body, packed_body = _body(number % BODIES)
    begin = head(number)
    begin = begin.ljust(len(begin) + -(len(begin) + len(body)) % tarfile.BLOCKSIZE)
    member = tarfile.TarInfo(f"{number // 1000:03}/PMC{number}.xml")
    member.size = len(begin) + len(body)
    begin = member.tobuf() + begin
    yield begin, _packed(begin)
    yield body, packed_body


@cache
def _body(number: int) -> tuple[bytes, bytes]:
    content = rest(number)
    return content, _packed(content)


def _packed(content: bytes, end: int = zlib.Z_FULL_FLUSH) -> bytes:
    """A piece of a deflate stream, which needs nothing of what stands before it."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush(end)
