"""Synthetic inputs, always the same: citations, notes, revisions, deletions, broken records."""

import gzip
import json
import random
from pathlib import Path

SENTENCES = (
    "{gene} is expressed in the {tissue} of {taxon} embryos and binds the promoter of {other}.",
    "Loss of {gene} in {cell} reduced the uptake of {chemical}, as shown by RT-PCR and histochemistry (P < 0.05).",
    "We treated {taxon} with {chemical} for {number} days and measured mitochondrial {other} in the {tissue}.",
    "A missense mutation in exon {number} of the {gene} gene leads to a truncated protein in {taxon}.",
    "{cell} that lack {gene} fail to differentiate, whereas wild-type {cell} express {other} in the nucleus.",
    "The naïve β-subunit of {gene} (≈{number} kDa) co-localises with {other} at the plasma membrane.",
)

WORDS = {
    "gene": ("Pax6", "BRCA1", "Shh", "p53", "Sox2", "GATA-4", "Bmp4", "Hoxa1", "Notch1", "Wnt3a"),
    "other": ("beta-catenin", "actin", "insulin", "myosin", "collagen II", "E-cadherin", "interleukin-6"),
    "tissue": ("eye", "retina", "liver", "neural tube", "heart", "kidney cortex", "limb bud"),
    "taxon": ("mice", "zebrafish", "Drosophila melanogaster", "rats", "human", "Escherichia coli", "chick"),
    "cell": ("neurons", "fibroblasts", "T cells", "stem cells", "osteoblasts", "epithelial cells"),
    "chemical": ("glucose", "retinoic acid", "calcium", "dexamethasone", "cholesterol", "nitric oxide"),
}


def write_inputs(folder: Path, documents: int) -> int:
    """Write shards of about so many documents; returns the number of rows that `documents` will have.

    PubMed files, an update file with revisions and deletions, JSON lines of which some are broken, a truncated file.
    """
    source = random.Random(documents)
    per_shard = 150
    citations = int(documents * 0.8) // per_shard * per_shard
    notes = documents - citations
    rows = 0
    pmids = list(range(1, citations + 1))
    for number, start in enumerate(range(0, citations, per_shard), 1):
        content = [_citation(source, pmid) for pmid in pmids[start : start + per_shard]]
        _pubmed(folder / f"pubmed26n{number:04}.xml.gz", content)
        rows += len(content)
    revised = source.sample(pmids, max(3, citations // 25))
    deleted = source.sample(sorted(set(pmids) - set(revised)), max(2, citations // 60))
    never_seen = citations + 1000
    gone = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in [*deleted, never_seen])
    _pubmed(
        folder / "pubmed26n9000.xml.gz",
        [*(_citation(source, pmid, version=2) for pmid in revised), f"<DeleteCitation>{gone}</DeleteCitation>"],
    )
    rows += 1
    half = "<PubmedArticleSet>" + "".join(_citation(source, never_seen + 1 + i) for i in range(20))
    (folder / "pubmed26n9001.xml").write_text(half + "<PubmedArticle><MedlineCitation>", encoding="utf-8")
    rows += 21
    for number, start in enumerate(range(0, notes, per_shard)):
        lines = []
        for key in range(start, min(notes, start + per_shard)):
            lines.append(json.dumps({"id": f"note-{key}", "text": _text(source, 8), "ward": number}))
            if key % 40 == 7:
                lines.append('{"id": "broken", "text": ')
            if key % 50 == 9:
                lines.append(json.dumps({"id": f"empty-{key}"}))
        (folder / f"notes{number:02}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        rows += len(lines)
    return rows


def _pubmed(path: Path, content: list[str]) -> None:
    path.write_bytes(gzip.compress(f"<PubmedArticleSet>{''.join(content)}</PubmedArticleSet>".encode(), mtime=0))


def _citation(source: random.Random, pmid: int, version: int = 1) -> str:
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="{version}">{pmid}</PMID><Article>'
        f"<ArticleTitle>{_escaped(_text(source, 1))}</ArticleTitle><Abstract>"
        f'<AbstractText Label="RESULTS">{_escaped(_text(source, 5))}</AbstractText></Abstract>'
        "</Article></MedlineCitation></PubmedArticle>"
    )


def _text(source: random.Random, sentences: int) -> str:
    return " ".join(
        source.choice(SENTENCES).format(
            **{name: source.choice(words) for name, words in WORDS.items()}, number=source.randint(2, 40)
        )
        for _ in range(sentences)
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
