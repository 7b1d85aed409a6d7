"""A large archive of articles, read by one task and by several: `python -m tests.scale.archive --help`.

The articles are generated: words in the layout of JATS, some 70 KB of XML each. The model is a stand-in. First the cost
of unpacking is measured beside that of all else that a read task does, in CPU time of one process; it decides in how
many parts an archive is read at the most. Then come tasks of Ray that read and do nothing else, and whole runs, with
one part and with more; their tables are equal.
"""

import argparse
import gzip
import io
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

import craft_ray
from craft_ray.annotation import plan
from craft_ray.annotation.prepare import Preprocessor, ReadTask, prepare_shards
from craft_ray.annotation.sharing import SharedLedger
from craft_ray.core.settings import S3Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.readers import ArchivePart, ReadOptions, read_files
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, entries
from tests.scale.citations import vocabulary
from tests.scale.run import measured
from tests.support.outputs import table

SECTIONS = ("Introduction", "Methods", "Results", "Discussion")
PARAGRAPHS, REFERENCES = 5, 60
"""Of a section, 200 words each; and of an article."""


@cache
def words() -> np.ndarray:
    """Words, the frequent ones first: six of one piece and one of several, as in articles 1.4 pieces a word."""
    known = json.loads(load_checkpoint("stand-in").tokenizer)["model"]["vocab"]
    plain = [word for word in known if word.isalpha() and word.isascii() and len(word) > 1]
    mixed = [(*plain[at : at + 6], rare) for at, rare in zip(range(0, len(plain), 6), vocabulary(), strict=False)]
    return np.array([word for group in mixed for word in group])


@cache
def texts() -> np.ndarray:
    """5,000 texts of 200 words; frequencies fall as in language."""
    places = np.random.default_rng(1).zipf(1.3, (5_000, 200)) % len(words())
    return np.array([" ".join(each) for each in words()[places]], object)


def article(number: int, chance: np.random.Generator) -> bytes:
    """An article in JATS."""
    paragraphs = iter(chance.choice(texts(), len(SECTIONS) * PARAGRAPHS + 2))
    authors = "".join(
        f'<contrib contrib-type="author"><name><surname>{last.title()}</surname><given-names>{first.title()}'
        f'</given-names></name><xref ref-type="aff" rid="aff{place}">{place}</xref></contrib>'
        for place, (last, first) in enumerate(chance.choice(words(), (6, 2)))
    )
    sections = "".join(
        f"<sec><title>{title}</title>{''.join(_paragraph(next(paragraphs)) for _ in range(PARAGRAPHS))}</sec>"
        for title in SECTIONS
    )
    references = "".join(
        _reference(place, words) for place, words in enumerate(chance.choice(words(), (REFERENCES, 24)))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><article xmlns:xlink="http://www.w3.org/1999/xlink" '
        'article-type="research-article"><front><journal-meta><journal-title-group><journal-title>Generated'
        "</journal-title></journal-title-group></journal-meta><article-meta>"
        f'<article-id pub-id-type="pmcid">PMC{number}</article-id>'
        f"<title-group><article-title>{' '.join(chance.choice(words(), 14))}</article-title></title-group>"
        f"<contrib-group>{authors}</contrib-group><pub-date><year>{2000 + number % 25}</year></pub-date>"
        f"<abstract><p>{next(paragraphs)}</p></abstract></article-meta></front><body>{sections}"
        f'<fig id="f1"><label>Figure 1</label><caption><p>{next(paragraphs)}</p></caption></fig></body>'
        f"<back><ref-list>{references}</ref-list></back></article>"
    ).encode()


def _paragraph(text: str) -> str:
    """Words with what stands between them in articles: citations, italics, sentences."""
    words = text.split()
    for place in range(18, len(words), 18):
        words[place] = (
            f'{words[place]} [<xref ref-type="bibr" rid="r{place % REFERENCES}">{place % REFERENCES}</xref>].'
        )
    for place in range(7, len(words), 40):
        words[place] = f"<italic>{words[place]}</italic>"
    return f"<p>{' '.join(words)}</p>"


def _reference(place: int, words: np.ndarray) -> str:
    names = "".join(
        f"<name><surname>{last}</surname><given-names>{first[0]}</given-names></name>"
        for last, first in words[:8].reshape(4, 2)
    )
    return (
        f'<ref id="r{place}"><label>{place}</label><element-citation publication-type="journal"><person-group '
        f'person-group-type="author">{names}</person-group><article-title>{" ".join(words[8:22])}</article-title>'
        f"<source>{words[22]} {words[23]}</source><year>2001</year><volume>{place}</volume><fpage>1</fpage>"
        "</element-citation></ref>"
    )


def write_archive(path: Path, size: int) -> int:
    """A tar.gz of at least so many bytes; returns how many articles are in it."""
    number = 0
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
        while file.tell() < size:
            content = article(number, np.random.default_rng(number))
            member = tarfile.TarInfo(f"{number // 1000:03}/PMC{number}.xml")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            number += 1
    return number


def _blocks(path: Path, part: int = 0, parts: int = 1) -> Iterator[Any]:
    checkpoint = load_checkpoint("stand-in")
    task = ReadTask.of(checkpoint, Ledger.of(entries([], [], [], [])))
    with path.open("rb") as stream:
        yield from Preprocessor(task).prepare(stream, Shard(path.name, 0, number=0, part=part, parts=parts))


def shares(path: Path) -> dict[str, float]:
    """CPU seconds of one process that unpacks an archive, passes over its files, and prepares all or half of them."""
    seconds = {}
    began = time.process_time()
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass
    seconds["gunzip"] = time.process_time() - began
    began = time.process_time()
    with path.open("rb") as stream:
        # A part so small that no file is in it.
        for _ in read_files(stream, path.name, ReadOptions(), ArchivePart(0, 1 << 60)):
            pass
    seconds["pass over all files"] = time.process_time() - began
    for part, parts in ((0, 1), (0, 2), (1, 2)):
        began = time.process_time()
        for _ in _blocks(path, part, parts):
            pass
        seconds[f"read part {part + 1} of {parts}"] = time.process_time() - began
    return {name: round(value, 2) for name, value in seconds.items()}


def reading(path: Path, parts: int) -> float:
    """Seconds by the clock in which so many tasks of Ray read an archive, and nothing else is done with it."""
    nothing = Ledger.of(entries([], [], [], []))
    task = ray.put((ReadTask.of(load_checkpoint("stand-in"), nothing), SharedLedger.of(nothing)))
    shards = [Shard(str(path), path.stat().st_size, number=0, part=part, parts=parts) for part in range(parts)]
    groups = [{"shards": json.dumps([asdict(shard)])} for shard in shards]
    dataset = ray.data.from_items(groups, override_num_blocks=parts).map_batches(
        prepare_shards,
        fn_kwargs={"storage": Storage(S3Settings()), "task": task, "attempt": plan.Attempt.FIRST},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
    )
    began = time.monotonic()
    for _ in dataset.iter_internal_ref_bundles():
        pass
    return round(time.monotonic() - began, 1)


def run(path: Path, output: Path, parts: int) -> dict[str, Any]:
    """A whole run with so many parts at the most."""
    shutil.rmtree(output, ignore_errors=True)
    plan.MOST_PARTS, plan.SMALLEST_PART = parts, 1
    told = measured(lambda: craft_ray.annotate(str(path), str(output), model="stand-in", concepts=False))
    assert told["documents"]["annotated"] == told["documents"]["found"]
    return {name: told[name] for name in ("seconds", "tokens", "timeline", "peak_all_mb")}


def contents(output: Path) -> list[tuple[Any, ...]]:
    """All that is to be equal, whichever task read a document."""
    columns = ("doc_id", "status", "content_hash", "n_entities", "n_tokens")
    documents = table(output, "documents").select(columns)
    return sorted(zip(*(documents[name].to_pylist() for name in columns), strict=True))


def main() -> None:
    """Make the archive, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the tar.gz")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2], help="parts, a run each")
    parser.add_argument(
        "--folder", type=Path, default=Path("scale"), help="where the archive and tables go; emptied first"
    )
    parser.add_argument("--report", type=Path, default=Path("archive.json"))
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    path = given.folder / "articles.tar.gz"
    articles = write_archive(path, int(given.gb * 1e9))
    report: dict[str, Any] = {"bytes": path.stat().st_size, "articles": articles, "cpu_seconds": shares(path)}
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    small = given.folder / "small.tar.gz"
    write_archive(small, 1)
    reading(small, max(given.parts))  # which starts the workers
    report["seconds of reading alone"] = {parts: reading(path, parts) for parts in given.parts}
    ray.shutdown()
    for parts in given.parts:
        report[f"{parts} parts"] = run(path, given.folder / f"out{parts}", parts)
        assert contents(given.folder / f"out{parts}") == contents(given.folder / f"out{given.parts[0]}")
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
