"""Ontologies as a stream of terms: OBO files and OBO Graphs JSON.

See https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html and https://github.com/geneontology/obographs. OBO
is parsed with regular expressions, a block of stanzas at a time: `pronto` and `fastobo` fail on files that are in use
(CRAFT's UBERON, pr_slim), and `obonet` takes seven times as long.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TextIO

import ijson

from craft_ray.concepts.terms import BROAD, EXACT, NARROW, RELATED, Term, concept_xrefs

BLOCK = 4 << 20
"""Characters."""

_TAGS = re.compile(
    r"^(id|name|namespace|synonym|is_a|alt_id|xref|is_obsolete|replaced_by|default-namespace|data-version|date):"
    r" *(.*?) *$",
    re.MULTILINE,
)
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(EXACT|NARROW|BROAD|RELATED)?')
_ESCAPE = re.compile(r"\\(.)")

_SCOPES = {
    "hasExactSynonym": EXACT,
    "hasNarrowSynonym": NARROW,
    "hasBroadSynonym": BROAD,
    "hasRelatedSynonym": RELATED,
}
_REPLACED_BY = "IAO_0100001"


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


def read_graphs(open_file: Callable[[], BinaryIO]) -> Iterator[Term | dict[str, str]]:
    """Yield a header with the version, then a term per class, then a term with only id and parent per is_a edge.

    The file is opened and read once for each of the three, since a graph may list them in any order.
    """
    with open_file() as stream:
        meta: dict[str, Any] = next(ijson.items(stream, "graphs.item.meta"), {})
    yield {"data-version": str(meta["version"])} if "version" in meta else {}
    with open_file() as stream:
        for node in ijson.items(stream, "graphs.item.nodes.item"):
            if node.get("type", "CLASS") == "CLASS":
                yield _parse_node(node)
    with open_file() as stream:
        for edge in ijson.items(stream, "graphs.item.edges.item"):
            if edge.get("pred") == "is_a":
                yield Term(curie(edge["sub"]), parents=(curie(edge["obj"]),))


def curie(iri: str) -> str:
    """Shorten the IRI of an OBO term; anything else is returned unchanged.

    >>> curie("http://purl.obolibrary.org/obo/CHEBI_15377")
    'CHEBI:15377'
    """
    match = re.fullmatch(r"https?://purl\.obolibrary\.org/obo/([A-Za-z]+)_(\S+)", iri)
    return f"{match[1]}:{match[2]}" if match else iri


def _parse_node(node: dict[str, Any]) -> Term:
    meta = node.get("meta", {})
    values: dict[str, list[str]] = {}
    for pair in meta.get("basicPropertyValues", ()):
        values.setdefault(re.split("[/#]", pair.get("pred", ""))[-1], []).append(str(pair.get("val", "")))
    return Term(
        id=curie(node["id"]),
        name=node.get("lbl"),
        namespace=values.get("hasOBONamespace", [None])[0],
        synonyms=tuple(
            (synonym["val"], _SCOPES.get(synonym.get("pred", ""), RELATED)) for synonym in meta.get("synonyms", ())
        ),
        xrefs=concept_xrefs(xref["val"] for xref in meta.get("xrefs", ())),
        alternatives=tuple(values.get("hasAlternativeId", ())),
        obsolete=bool(meta.get("deprecated")),
        replaced_by=curie(values[_REPLACED_BY][0]) if _REPLACED_BY in values else None,
    )
