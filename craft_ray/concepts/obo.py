"""OBO files, read in a stream: https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html.

Read with regular expressions over a block of stanzas at a time: `pronto` and `fastobo` fail on files that are in use
(CRAFT's UBERON, pr_slim), and `obonet` takes seven times as long.
"""

import re
from collections.abc import Iterator
from typing import TextIO

from craft_ray.concepts.terms import Term

BLOCK = 4 << 20
"""Characters that are read at once."""

_TAGS = re.compile(
    r"^(id|name|namespace|synonym|is_a|alt_id|is_obsolete|replaced_by|default-namespace|data-version|date): *(.*?) *$",
    re.MULTILINE,
)
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(EXACT|NARROW|BROAD|RELATED)?')
_ESCAPE = re.compile(r"\\(.)")


class CutShortError(ValueError):
    """A file that ends within a line."""


def read_obo(stream: TextIO) -> Iterator[Term | dict[str, str]]:
    """The header, as a dict of its tags, then each term.

    Raises CutShortError where the file ends within a line, which no writer of OBO leaves.
    """
    stanzas = _stanzas(stream)
    header = dict(_TAGS.findall(next(stanzas)))
    yield header
    namespace = header.get("default-namespace")
    for stanza in stanzas:
        if stanza.startswith("Term]"):
            yield _term(stanza, namespace)


def _stanzas(stream: TextIO) -> Iterator[str]:
    """The header, then each stanza without its opening bracket."""
    rest = ""
    while block := stream.read(BLOCK):
        *whole, rest = (rest + block).split("\n[")
        yield from whole
    if rest and not rest.endswith("\n"):
        raise CutShortError
    yield rest


def _term(stanza: str, namespace: str | None) -> Term:
    fields: dict[str, list[str]] = {}
    for tag, value in _TAGS.findall(stanza):
        fields.setdefault(tag, []).append(value)
    return Term(
        id=_first(fields["id"][0]) if "id" in fields else "",
        name=_unescaped(fields["name"][0]) if "name" in fields else None,
        namespace=fields["namespace"][0] if "namespace" in fields else namespace,
        synonyms=tuple(
            (_unescaped(found[1]), found[2] or "RELATED")
            for value in fields.get("synonym", ())
            if (found := _SYNONYM.match(value))
        ),
        parents=tuple(map(_first, fields.get("is_a", ()))),
        alternatives=tuple(map(_first, fields.get("alt_id", ()))),
        obsolete=fields.get("is_obsolete", [""])[0].startswith("true"),
        replaced_by=_first(fields["replaced_by"][0]) if "replaced_by" in fields else None,
    )


def _first(value: str) -> str:
    """A value without the comment and the qualifiers after it."""
    return value.split(None, 1)[0] if value else ""


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
