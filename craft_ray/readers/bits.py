"""Books in BITS (https://jats.nlm.nih.gov/extensions/bits/), as of NCBI's Bookshelf: chapters are read as articles."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from craft_ray.core.schema import Item
from craft_ray.readers.jats import read_article
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.xml import LANGUAGE, iter_elements, rename

_CHAPTERS = ("book-part", "book-app", "foreword", "preface", "front-matter-part")


def read_bits(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document for each outermost part of a book, those without an id named by the file. Its journal is the
    book's title.
    """
    for number, chapter in enumerate(iter_elements(stream, _CHAPTERS, nested=False, undeclared_entities=True)):
        book = chapter.getroottree().getroot().find(".//{*}book-title")
        yield from read_article(_article(chapter, book), shard if number == 0 else f"{shard}#{number}", options.include)


def _article(chapter: Any, book_title: Any) -> Any:
    """Make an `article` of JATS. Takes the elements out of the chapter."""
    rename(chapter, {"named-book-part-body": "body"})
    for inner in chapter.iter(*_CHAPTERS):
        if inner is not chapter:
            inner.tag = "sec"
            title = inner.find("book-part-meta/title-group/title")
            if title is not None:
                inner.insert(0, title)
    article = etree.Element("article", {"article-type": chapter.get("book-part-type", "")})
    if language := chapter.get(LANGUAGE):
        article.set(LANGUAGE, language)
    front = etree.SubElement(article, "front")
    if book_title is not None:
        etree.SubElement(etree.SubElement(front, "journal-meta"), "journal-title").text = "".join(book_title.itertext())
    meta = chapter.find("book-part-meta")
    if meta is not None:
        rename(meta, {"book-part-meta": "article-meta", "book-part-id": "article-id", "title": "article-title"})
        for id in meta.iter("article-id"):
            id.set("pub-id-type", id.get("book-part-id-type") or id.get("pub-id-type", ""))
        front.append(meta)
    for part in chapter.findall("body") + chapter.findall("back"):
        article.append(part)
    return article


READER = Reader("bits", read_bits, suffixes=(), shared_suffixes=("xml",), roots=("book-part-wrapper", "book-part"))
