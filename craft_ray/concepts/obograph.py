"""OBO Graphs JSON as a stream (https://github.com/geneontology/obographs)."""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson

from craft_ray.concepts.terms import BROAD, EXACT, NARROW, RELATED, Term, concept_xrefs

_SCOPES = {
    "hasExactSynonym": EXACT,
    "hasNarrowSynonym": NARROW,
    "hasBroadSynonym": BROAD,
    "hasRelatedSynonym": RELATED,
}
_REPLACED_BY = "IAO_0100001"


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
                yield _parse_term(node)
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


def _parse_term(node: dict[str, Any]) -> Term:
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
