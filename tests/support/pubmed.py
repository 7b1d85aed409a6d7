"""PubMed files of a few citations."""

from pathlib import Path


def citation(pmid: int, title: str, version: int = 1, year: int | None = None) -> str:
    date = f"<Journal><JournalIssue><PubDate><Year>{year}</Year></PubDate></JournalIssue></Journal>" if year else ""
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="{version}">{pmid}</PMID>'
        f"<Article>{date}<ArticleTitle>{title}</ArticleTitle></Article></MedlineCitation></PubmedArticle>"
    )


def deletion(*pmids: int) -> str:
    return f"<DeleteCitation>{''.join(f'<PMID>{pmid}</PMID>' for pmid in pmids)}</DeleteCitation>"


def pubmed_file(path: Path, *content: str) -> str:
    path.write_text(f"<PubmedArticleSet>{''.join(content)}</PubmedArticleSet>")
    return str(path)
