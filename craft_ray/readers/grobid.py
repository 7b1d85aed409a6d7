"""TEI as GROBID extracts it from PDF (https://grobid.readthedocs.io/en/latest/TEI-encoding-of-results/).

It is renamed to JATS and read as that. TEI of other programs is rejected.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.schema import Item, Rejection
from craft_ray.readers.jats import read_article
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.text_builder import normalize_space
from craft_ray.readers.xml import LANGUAGE, iter_elements, rename, text_of

_NAMES = {
    "div": "sec",
    "head": "title",
    "figure": "fig",
    "figDesc": "p",
    "row": "tr",
    "cell": "td",
    "formula": "disp-formula",
    "note": "fn",
    "listBibl": "ref-list",
    "biblStruct": "ref",
}
_BACK = {"acknowledgement": "ack", "annex": "app"}
"""JATS's names for sections of the back matter, by their type."""


def read_grobid(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each TEI, those without an id named by the file."""
    for number, tei in enumerate(iter_elements(stream, ("TEI",), undeclared_entities=True)):
        name = shard if number == 0 else f"{shard}#{number}"
        if any(program.get("ident") == "GROBID" for program in tei.iter("application")):
            yield from read_article(_article(tei), name, options.include)
        else:
            yield Rejection(name, "unknown_format", "TEI that GROBID has not written: save its text")


def _article(tei: Any) -> Any:
    """Make an `article` of JATS. Takes the elements out of the TEI."""
    text = tei.find("text")
    language = text.get(LANGUAGE) if text is not None else None
    article = etree.Element("article", {LANGUAGE: language} if language else {})
    front = etree.SubElement(article, "front")
    source = "teiHeader/fileDesc/sourceDesc/biblStruct"
    _add(front, "journal-meta/journal-title", tei.find(f"{source}/monogr/title[@level='j']"))
    for id in tei.iterfind(f"{source}//idno"):
        _add(front, "article-meta/article-id", id, {"pub-id-type": id.get("type", "").lower()})
    _add(front, "article-meta/title-group/article-title", tei.find("teiHeader/fileDesc/titleStmt/title"))
    date = tei.find(f"{source}/monogr/imprint/date")
    if date is None:
        date = tei.find("teiHeader/fileDesc/publicationStmt/date")
    _add(front, "article-meta/pub-date", date, {"iso-8601-date": date.get("when", "")} if date is not None else {})
    for path in ("teiHeader/profileDesc/abstract", "text/body", "text/back"):
        if (part := tei.find(path)) is not None:
            rename(part, _NAMES)
            (_parent(front, "article-meta/abstract") if part.tag == "abstract" else article).append(part)
    for section in article.findall("back/sec"):
        section.tag = _BACK.get(section.get("type", ""), section.tag)
        if section.find("ref-list") is not None:
            section.tag = "ref-list"
    return article


def _add(front: Any, path: str, source: Any, attributes: dict[str, str] | None = None) -> None:
    """Add an element with the text of another one, if there is one."""
    if source is not None:
        added = etree.SubElement(_parent(front, path), path.rpartition("/")[2], attributes or {})
        added.text = normalize_space(text_of(source))


def _parent(front: Any, path: str) -> Any:
    """The element above a path, made if it is missing."""
    for name in path.split("/")[:-1]:
        found = front.find(name)
        front = etree.SubElement(front, name) if found is None else found
    return front


READER = Reader("grobid", read_grobid, shared_suffixes=("xml", "tei"), roots=("TEI",))
