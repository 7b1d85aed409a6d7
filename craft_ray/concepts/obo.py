"""OBO files as a stream (https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html).

Parsed with regular expressions, a block of stanzas at a time: `pronto` and `fastobo` fail on files that are in use
(CRAFT's UBERON, pr_slim), and `obonet` takes seven times as long.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from craft_ray.concepts.terms import Term, concept_xrefs

BLOCK = 4 << 20
"""Characters."""

_TAGS = re.compile(
    r"^(id|name|namespace|synonym|is_a|alt_id|xref|is_obsolete|replaced_by|default-namespace|data-version|date):"
    r" *(.*?) *$",
    re.MULTILINE,
)
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(EXACT|NARROW|BROAD|RELATED)?')
_ESCAPE = re.compile(r"\\(.)")


class TruncatedError(ValueError):
    """A file that ends within a line."""


def read_obo(stream: TextIO) -> Iterator[Term | dict[str, str]]:
    """Yield the header as a dict of its tags, then each term.

    Raises TruncatedError if the file ends within a line, as no writer of OBO leaves it.
    """
    stanzas = _stanzas(stream)
    header = dict(_TAGS.findall(next(stanzas)))
    yield header
    namespace = header.get("default-namespace")
    for stanza in stanzas:
        if stanza.startswith("Term]"):
            yield _parse_term(stanza, namespace)


def _stanzas(stream: TextIO) -> Iterator[str]:
    """Yield the header, then each stanza without its opening bracket."""
    rest = ""
    while block := stream.read(BLOCK):
        *complete, rest = (rest + block).split("\n[")
        yield from complete
    if rest and not rest.endswith("\n"):
        raise TruncatedError
    yield rest


def _parse_term(stanza: str, namespace: str | None) -> Term:
    fields: dict[str, list[str]] = {}
    for tag, value in _TAGS.findall(stanza):
        fields.setdefault(tag, []).append(value)

    def first(tag: str) -> str | None:
        return fields[tag][0] if tag in fields else None

    return Term(
        id=_id(first("id") or ""),
        name=_unescape(fields["name"][0]) if "name" in fields else None,
        namespace=first("namespace") or namespace,
        synonyms=tuple(
            (_unescape(found[1]), found[2] or "RELATED")
            for value in fields.get("synonym", ())
            if (found := _SYNONYM.match(value))
        ),
        parents=tuple(map(_id, fields.get("is_a", ()))),
        alternatives=tuple(map(_id, fields.get("alt_id", ()))),
        xrefs=concept_xrefs(fields.get("xref", ())),
        obsolete=(first("is_obsolete") or "").startswith("true"),
        replaced_by=_id(fields["replaced_by"][0]) if "replaced_by" in fields else None,
    )


def _id(value: str) -> str:
    """Remove qualifiers and comments after an id."""
    return value.split(None, 1)[0] if value else ""


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
