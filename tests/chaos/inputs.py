"""Synthetic inputs, always the same: citations, notes, revisions, deletions, broken records."""

import json
from pathlib import Path

from tests.support.pubmed import citation, deletion, pubmed_file

PER_SHARD = 150


def write_inputs(folder: Path, documents: int) -> None:
    """Write about so many documents: PubMed files, one with revisions and deletions, one that is cut short, and JSON
    lines of which some are broken.
    """
    citations = int(documents * 0.8) // PER_SHARD * PER_SHARD
    for shard, first in enumerate(range(1, citations, PER_SHARD), 1):
        pmids = range(first, first + PER_SHARD)
        pubmed_file(folder / f"pubmed26n{shard:04}.xml", *(citation(pmid, text(pmid)) for pmid in pmids))
    revisions = (citation(pmid, text(-pmid), version=2) for pmid in range(1, citations, 25))
    pubmed_file(folder / "pubmed26n9000.xml", *revisions, deletion(*range(10, citations, 60), 2 * citations))
    cut = Path(pubmed_file(folder / "pubmed26n9001.xml", *(citation(3 * citations + n, text(n)) for n in range(20))))
    cut.write_text(cut.read_text().replace("</PubmedArticleSet>", "<PubmedArticle>"))
    for shard, first in enumerate(range(citations, documents, PER_SHARD)):
        notes = range(first, min(first + PER_SHARD, documents))
        lines = [json.dumps({"id": f"note-{n}", "text": text(n)}) for n in notes]
        lines[7:7] = ['{"id": "broken", "text": ', json.dumps({"id": f"empty-{shard}"})]
        (folder / f"notes{shard}.jsonl").write_text("\n".join(lines) + "\n")


def text(number: int) -> str:
    return f"Loss of Pax{number} in the mouse eye reduced the uptake of glucose by T cells, as shown in {number}. " * 6
