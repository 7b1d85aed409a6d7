"""Formats of other programs that must not be read as prose, with advice for the user."""

import itertools
import re

from craft_ray.readers.reader import Head

_ID = rb"(?:PMID:? ?|(?:PMCID:? ?)?PMC)?\d{1,8}"
_IDS = re.compile(rb"%s(?:[\s,;]+%s)+[\s,;]*\Z" % (_ID, _ID), re.IGNORECASE)
_PUBMED_TEXT = re.compile(
    rb"1[.:] (?:[^\n]+\n)*?[^\n]*\b(?:19|20)\d\d(?: [A-Z][a-z]{2}(?: \d+)?)?(?:;|\. doi:)[^\0]*?\bPMID: \d+"
)
"""PubMed's save as summary or as abstract."""

_FASTA = re.compile(rb">\S[^\n]*\n[A-Za-z*-]+\r?\n")

_ADVICE = (
    (re.compile(rb"%PDF-"), "a PDF: extract its text first"),
    (re.compile(rb"PK\x03\x04"), "an Office document or a book: save it as text"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an Office document: save it as text"),
    (re.compile(rb"\{\\rtf"), "RTF: save it as text"),
    (re.compile(rb"TY  - "), "RIS, which most programs write without PMIDs: save as PubMed format or PubMed XML"),
    (re.compile(rb"%0 |%A "), "EndNote: save as PubMed format or PubMed XML"),
    (re.compile(rb"@[A-Za-z]+\s*\{"), "BibTeX: save as PubMed format or PubMed XML"),
    (re.compile(rb"<!doctype html|<html", re.IGNORECASE), "a web page: save its text"),
    (_FASTA, "FASTA: sequences have no mentions"),
    (_IDS, "a list of PMIDs or PMCIDs: get the citations first, by PubMed's Save or by efetch with retmode=xml"),
    (_PUBMED_TEXT, "PubMed's summary or abstract as text, which has no fields: save in the format PubMed"),
)


_AS_JATS = "get the article as JATS, or its citation from PubMed"
_BY_EFETCH = "get the citations by efetch with retmode=xml"
_BY_DOCUMENT_TYPE = (
    (r"elsevier\.com/xml|//ES//DTD|}(?:converted|simple)-article$", f"Elsevier's own XML: {_AS_JATS}"),
    (r"wiley\.com/namespaces", f"Wiley's own XML: {_AS_JATS}"),
    (r"//DTD A\+\+|}Publisher$", f"Springer's A++: {_AS_JATS}"),
    (r"//IEEE//IDAMS", f"IEEE's own XML: {_AS_JATS}"),
    (r"}art$", f"BioMed Central's own XML: {_AS_JATS}"),
    (r"}(?:TEI\.2|teiCorpus)$", "TEI that GROBID has not written: save its text"),
    (r"}eSummaryResult$", f"eSummary, which holds no abstracts: {_BY_EFETCH}"),
    (r"}e(?:Search|Link|Post|Info)Result$", f"ids without texts: {_BY_EFETCH}"),
    (r"crossref\.org/|}doi_(?:records|batch)$", f"Crossref's metadata: {_BY_EFETCH}"),
    (r"datacite\.org/", "DataCite's metadata, which describe data"),
    (r"docbook\.org/|//DTD DocBook", "DocBook: save its text"),
    (r"w3\.org/1999/xhtml", "a web page: save its text"),
)


def advice_for(head: Head) -> str | None:
    """Describe an unsupported format and what to do about it; None if a reader may try the file."""
    found = (advice for pattern, advice in _ADVICE if pattern.match(head.start))
    of_type = (
        advice for pattern, advice in _BY_DOCUMENT_TYPE if head.is_xml and re.search(pattern, head.document_type)
    )
    return next(itertools.chain(found, of_type), None)
