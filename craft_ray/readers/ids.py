"""One rule for the ids of articles in all formats, so that all forms of an article are one document.

`PMCID:PMC48141`, `PMID:41576520`, and `DOI:10.1000/x` in lower case: the DOI system compares without case
(https://www.doi.org/doi-handbook/HTML/case-sensitivity.html).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_WEB = r"https?://(?:www\.)?"
_PATTERNS = {
    "PMCID": re.compile(rf"(?:PMCID: *|{_WEB}\S+/)?(?:PMC)?([0-9]+)(?:\.[0-9]+)?/?", re.IGNORECASE),
    "PMID": re.compile(rf"(?:PMID: *|{_WEB}(?:ncbi|pubmed)\S+/)?([0-9]+)(?:\.0+)?/?", re.IGNORECASE),
    "DOI": re.compile(rf"(?:{_WEB}(?:dx\.)?doi\.org/|doi: *)*(10\.[0-9.]+/\S+)", re.IGNORECASE),
}
_WRITE: dict[str, Callable[[str], str]] = {"PMCID": "PMC{}".format, "PMID": str, "DOI": str.lower}

_KINDS = {
    "PMCID": ("article_id_pmc", "pmcid", "pmc", "pmc_id", "pmcaid"),
    "PMID": ("article_id_pmid", "pmid", "pubmed_id", "pubmedid", "pubmed", "pubid"),
    "DOI": ("article_id_doi", "doi"),
}
"""Names of columns, of JATS's `pub-id-type` and of BioC's infons, in the order of their use."""

_SEPARATORS = re.compile(r"[\s_./-]+")

_KIND_BY_NAME = {name: kind for kind, names in _KINDS.items() for name in names}


def column_key(name: str) -> str:
    """Form under which names of columns and infons are compared: `PubMed ID` and `pubmed_id` are one name."""
    name = name.strip().lower()
    return name if name.isalnum() else _SEPARATORS.sub("_", name)


def id_kind(name: str) -> str | None:
    """`PMCID`, `PMID` or `DOI`, if a column of this name holds such ids."""
    return _KIND_BY_NAME.get(column_key(name))


def id_of_kind(name: str, value: Any) -> str | None:
    """Return the id of an article from the value of a column `pmid`, `pmcid`, `doi` or one of their other names.

    None if the name says nothing of the kind, or the value is no such id.
    """
    kind = id_kind(name)
    match = _PATTERNS[kind].fullmatch(str(value).strip()) if kind else None
    return f"{kind}:{_WRITE[kind](match.group(1))}" if kind and match else None


def article_id(values: Mapping[str, Any]) -> str | None:
    """Return the best id among named values: PMCID, PMID, then DOI."""
    by_key = {column_key(name): value for name, value in values.items() if name}
    found = (id_of_kind(name, by_key[name]) for name in _KIND_BY_NAME if name in by_key)
    return next(filter(None, found), None)


def own_id(name: str, infons: Mapping[str, Any] | None = None, number_is_pmid: bool = True) -> str:
    """Return the id of an article from its infons and its format's own id, which is returned as it is otherwise."""
    kind = "pmcid" if name[:3] == "PMC" else "pmid" if number_is_pmid else ""
    return (article_id({kind: name, **(infons or {})}) if kind or infons else None) or name


def pmid_of(value: str | None) -> str | None:
    """Return the id of a citation from what stands where its format has the PMID, or None if that is empty."""
    text = (value or "").strip()
    return id_of_kind("pmid", text) or (f"PMID:{text}" if text else None)
