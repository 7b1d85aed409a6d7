"""OBO Graphs JSON, read in a stream: https://github.com/geneontology/obographs."""

import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import ijson

from craft_ray.concepts.terms import BROAD, EXACT, NARROW, RELATED, Term

_SCOPES = {
    "hasExactSynonym": EXACT,
    "hasNarrowSynonym": NARROW,
    "hasBroadSynonym": BROAD,
    "hasRelatedSynonym": RELATED,
}
_REPLACED_BY = "IAO_0100001"
_ALTERNATIVE = "hasAlternativeId"
_NAMESPACE = "hasOBONamespace"


def read_graphs(opened: Callable[[], BinaryIO]) -> Iterator[Term | dict[str, str]]:
    """A header with the version, then a term per class, then a term of id and parent alone per is_a edge.

    opened: opens the file anew; it is read once for each of the three
    """
    with opened() as stream:
        meta: dict[str, Any] = next(ijson.items(stream, "graphs.item.meta"), {})
    yield {"data-version": str(meta["version"])} if "version" in meta else {}
    with opened() as stream:
        for node in ijson.items(stream, "graphs.item.nodes.item"):
            if node.get("type", "CLASS") == "CLASS":
                yield _term(node)
    with opened() as stream:
        for edge in ijson.items(stream, "graphs.item.edges.item"):
            if edge.get("pred") == "is_a":
                yield Term(curie(edge["sub"]), parents=(curie(edge["obj"]),))


def curie(address: str) -> str:
    """The CURIE of an OBO address; anything else is returned as it is.

    >>> curie("http://purl.obolibrary.org/obo/CHEBI_15377")
    'CHEBI:15377'
    """
    match = re.fullmatch(r"https?://purl\.obolibrary\.org/obo/([A-Za-z]+)_(\S+)", address)
    return f"{match[1]}:{match[2]}" if match else address


def _term(node: dict[str, Any]) -> Term:
    meta = node.get("meta", {})
    values: dict[str, list[str]] = {}
    for pair in meta.get("basicPropertyValues", ()):
        values.setdefault(re.split("[/#]", pair.get("pred", ""))[-1], []).append(str(pair.get("val", "")))
    replaced = values.get(_REPLACED_BY)
    return Term(
        id=curie(node["id"]),
        name=node.get("lbl"),
        namespace=values.get(_NAMESPACE, [None])[0],
        synonyms=tuple(
            (synonym["val"], _SCOPES.get(synonym.get("pred", ""), RELATED)) for synonym in meta.get("synonyms", ())
        ),
        alternatives=tuple(values.get(_ALTERNATIVE, ())),
        obsolete=bool(meta.get("deprecated")),
        replaced_by=curie(replaced[0]) if replaced else None,
    )
