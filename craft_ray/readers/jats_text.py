"""Collect the text of JATS elements in reading order, as passages with the names of their sections."""

from collections.abc import Collection, Iterator
from typing import Any

from craft_ray.readers.text_builder import MAX_SECTION_NAME, TextBuilder, normalize_space
from craft_ray.readers.xml import add_child, local_name, text_of

FLOATS = frozenset(("fig", "fig-group", "table-wrap", "table-wrap-group", "supplementary-material", "media"))
TABLES = frozenset(("table", "array"))
_ROWS, _CELLS = frozenset(("tr", "row")), frozenset(("td", "th", "entry", "entrytbl"))
"""HTML's names, and those of CALS and its exchange model of OASIS."""

_PARAGRAPHS = frozenset(("p", "title", "subtitle", "term", "attrib", "verse-line", "speaker", "preformat", "code"))
_LISTS = ("list", "list-item", "def-list", "def-item", "def", "verse-group", "speech", "question", "answer", "glossary")
_BLOCKS = (
    FLOATS
    | _PARAGRAPHS
    | {"sec", "boxed-text", "disp-quote", "statement", "caption", "table-wrap-foot", *_LISTS, *_CELLS}
)
_MATH = ("disp-formula", "disp-formula-group", "tex-math", "annotation", "annotation-xml", "textual-form")
_NAMES = ("label", "contrib-group", "kwd-group", "subj-group", "object-id", "permissions")
_ALWAYS_LEFT_OUT = {*_MATH, *_NAMES, "graphic", "alt-text", "long-desc"}
_RAISED = frozenset(("bibr", "fn", "table-fn", "author-notes", "aff", "corresp"))
"""Types of references that are set as superscripts: `membrane<xref ref-type="bibr">1</xref>`."""

_BOILERPLATE = frozenset(("Click here for additional data file", "Click here for file"))
"""Captions that PubMed Central adds to files."""


class JatsText:
    """Collects the passages of one document; tables, footnotes and references only if in `include`."""

    def __init__(self, include: Collection[str]) -> None:
        self.builder = TextBuilder()
        left_out, blocks = set(_ALWAYS_LEFT_OUT), set(_BLOCKS)
        for part, names in (("tables", TABLES), ("footnotes", ("fn",)), ("references", ("ref-list",))):
            (blocks if part in include else left_out).update(names)
        self._left_out, self._blocks = left_out, blocks
        self._not_inline = left_out | blocks | {"break"}

    def inline(self, element: Any) -> str:
        """Running text of an element, without the blocks within it."""
        return normalize_space(text_of(element, self._not_inline, _is_raised))

    def paragraph(self, element: Any, section: str) -> None:
        """Add the running text of an element as one passage, then the blocks within it (lists, figures)."""
        self._add(section, self.inline(element))
        for block in self._blocks_in(element):
            self.visit(block, section)

    def walk(self, element: Any, section: str) -> None:
        """Add the children of an element. Text without a paragraph around it is a passage too."""
        has_own_text = bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
        run = [element.text or ""]
        blocks: list[Any] = []

        def flush() -> None:
            self._add(section, normalize_space("".join(run)))
            for block in blocks:
                self.visit(block, section)
            run.clear()
            blocks.clear()

        for child in element:
            name = local_name(child)
            if name and name not in self._left_out and (name in self._blocks or not has_own_text):
                flush()
                self.visit(child, section)
                run.append(child.tail or "")
            else:
                add_child(child, self._not_inline, _is_raised, run)
                if name not in self._left_out:
                    blocks += self._blocks_in(child)
        flush()

    def visit(self, element: Any, section: str) -> None:
        name = local_name(element)
        if name == "sec":
            heading = element.find("title")
            title = self.inline(heading) if heading is not None else ""
            self.walk(element, f"{section}/{title}"[:MAX_SECTION_NAME] if title else section)
        elif name == "table-wrap-foot":
            self._foot(element)
        elif name in FLOATS:
            self.walk(element, "caption")
        elif name in TABLES:
            self._table(element)
        elif name == "fn":
            self.walk(element, "footnotes")
        elif name == "ref-list":
            self._references(element)
        elif name in _PARAGRAPHS:
            self.paragraph(element, section)
        else:
            self.walk(element, section)

    def _references(self, element: Any) -> None:
        """Add a passage per citation. One in pieces, without text of its own between them, gets blanks there."""
        for citation in (child for ref in element.iter("ref") for child in ref if local_name(child) != "label"):
            pieces = [citation.text, *(child.tail for child in citation)]
            is_running = any(piece and piece.strip() for piece in pieces)
            text = self.inline(citation) if is_running else normalize_space(" ".join(citation.itertext()))
            self._add("references", text)

    def _foot(self, element: Any) -> None:
        """Add notes under a table. JATS marks them up as footnotes."""
        for child in element:
            if local_name(child) in ("fn", "fn-group"):
                self._foot(child)
            elif local_name(child) not in self._left_out:
                self.visit(child, "caption")

    def _table(self, element: Any) -> None:
        """Add a passage per row, with tabs between cells. A table within a cell is part of the cell's text."""
        for child in element:
            name = local_name(child)
            if name in _ROWS:
                self._add("table", "\t".join(map(self._cell, child)).strip("\t"))
            elif name in self._blocks:
                self.visit(child, "table")
            elif name not in self._left_out:
                self._table(child)

    def _cell(self, element: Any) -> str:
        """Text of a cell in one line, with blanks between its paragraphs."""
        return " ".join(filter(None, (self.inline(element), *map(self._cell, self._blocks_in(element)))))

    def _blocks_in(self, element: Any) -> Iterator[Any]:
        """Yield the outermost blocks within an element."""
        for child in element:
            name = local_name(child)
            if name in self._blocks:
                yield child
            elif name not in self._left_out:
                yield from self._blocks_in(child)

    def _add(self, section: str, passage: str) -> None:
        if passage.rstrip(".") not in _BOILERPLATE:
            self.builder.add(section, passage)


def _is_raised(element: Any) -> bool:
    """Whether an element is a superscript reference, to be separated from the word before it by a blank."""
    name = local_name(element)
    if name == "xref":
        return element.get("ref-type") in _RAISED
    return name == "sup" and any(local_name(child) == "xref" and _is_raised(child) for child in element)
