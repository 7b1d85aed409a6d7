"""Files that are plainly no text, and what to do with each, so that none is taken for prose."""

import re

from craft_ray.readers.reader import Head

_PMIDS = re.compile(rb"(?:PMID:? ?)?\d{1,8}(?:[\s,;]+(?:PMID:? ?)?\d{1,8})+[\s,;]*\Z")
_FASTA = re.compile(rb">\S[^\n]*\n[A-Za-z*-]+\r?\n")

_REFUSED = (
    (re.compile(rb"%PDF-"), "a PDF: extract its text first"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive or an Office document: unpack it, or save it as text"),
    (re.compile(rb"\{\\rtf"), "RTF: save it as text"),
    (re.compile(rb"TY  - "), "RIS, which most programs write without PMIDs: save as PubMed format or PubMed XML"),
    (re.compile(rb"%0 |%A "), "EndNote: save as PubMed format or PubMed XML"),
    (re.compile(rb"@[A-Za-z]+\s*\{"), "BibTeX: save as PubMed format or PubMed XML"),
    (re.compile(rb"<!doctype html|<html", re.IGNORECASE), "a web page: save its text"),
    (_FASTA, "FASTA: sequences have no mentions"),
    (_PMIDS, "a list of PMIDs: get the citations first, by PubMed's Save or by efetch with retmode=xml"),
)


def advice_for(head: Head) -> str | None:
    """The kind of file that a head belongs to and what to do with it, if no reader is meant to read it."""
    return next((advice for pattern, advice in _REFUSED if pattern.match(head.start)), None)
