"""Formats of other programs that must not be read as prose, with advice for the user."""

import re

from craft_ray.readers.reader import Head

_PMIDS = re.compile(rb"(?:PMID:? ?)?\d{1,8}(?:[\s,;]+(?:PMID:? ?)?\d{1,8})+[\s,;]*\Z")
_FASTA = re.compile(rb">\S[^\n]*\n[A-Za-z*-]+\r?\n")

_ADVICE = (
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
    """Describe an unsupported format and what to do about it; None if a reader may try the file."""
    return next((advice for pattern, advice in _ADVICE if pattern.match(head.start)), None)
