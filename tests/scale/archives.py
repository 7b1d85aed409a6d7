"""A large archive of articles, read by one task and by several."""

import gzip
import io
import tarfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import craft_ray
from craft_ray.annotation import plan
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.bench.measure import timed
from craft_ray.bench.processes import observed
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.readers import read_items
from craft_ray.readers.parts import ArchivePart
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.shards import Shard
from tests.scale.generated import texts, vocabulary
from tests.scale.harness import scenario
from tests.support.outputs import assert_consistent, table

REFERENCES = 60


@scenario
def archive(folder: Path, mb: int = 300, parts: tuple[int, ...] = (1, 2)) -> Iterator[dict[str, Any]]:
    """CPU time of the steps of reading an archive in parts, and whole runs that read it in at most so many parts.

    Where a run with one reader keeps all cores busy, a second reader has no core to run on.
    """
    path = folder / "articles.tar.gz"
    articles = write_archive(path, mb * 1_000_000)
    yield {"bytes": path.stat().st_size, "articles": articles, "cpu_seconds": _cpu_seconds_of_steps(path)}
    contents = []
    for most in parts:
        plan.MAX_PARTS, plan.MIN_PART_BYTES = most, 1
        output = folder / f"out{most}"
        with ray_session(Settings()), observed(psutil.Process()) as usage:
            began = time.monotonic()
            summary = craft_ray.annotate(str(path), str(output), model="stand-in", concepts=False)
            seconds = time.monotonic() - began
        assert summary["documents"]["annotated"] == articles
        assert_consistent(output)
        rows = table(output, "documents").select(["doc_id", "status", "content_hash", "n_entities", "n_tokens"])
        contents.append(rows.sort_by("doc_id"))
        assert contents[-1].equals(contents[0])
        by_stage = {stage: round(value, 1) for stage, value in usage.cpu_seconds.items()}
        yield {"parts": most, "seconds": round(seconds, 1), "tokens": summary["tokens"], "cpu_seconds": by_stage}


def _cpu_seconds_of_steps(path: Path) -> dict[str, float]:
    """Unpack an archive, skip all its files, and prepare all of them or a part."""
    preprocessor = Preprocessor(ReadTask.of(load_checkpoint("stand-in")))

    def unpack() -> None:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass

    def skip() -> None:
        with path.open("rb") as stream:
            list(read_items(stream, path.name, ReadOptions(), ArchivePart(0, 1 << 60)))  # a part too small for a file

    def read(part: int, parts: int) -> None:
        with path.open("rb") as stream:
            for _ in preprocessor.prepare(stream, Shard(path.name, 0, number=0, part=part, parts=parts)):
                pass

    read(0, plan.MAX_PARTS)  # loads the tokenizer
    steps = {"unpack": unpack, "skip all files": skip}
    steps |= {
        f"read part {part + 1} of {of}": lambda part=part, of=of: read(part, of)  # type: ignore[misc]
        for part, of in ((0, 1), (0, 2), (1, 2), (0, plan.MAX_PARTS))
    }
    return {name: round(timed(step, time.process_time), 2) for name, step in steps.items()}


def write_archive(path: Path, size: int) -> int:
    """Write a .tar.gz of at least so many bytes, as PMC has them. Returns the number of articles."""
    number = 0
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        while not number or file.tell() < size:
            content = article(number)
            member = tarfile.TarInfo(f"{number // 1000:03}/PMC{number}.xml")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
            number += 1
    return number


def article(number: int) -> bytes:
    """An article in JATS, some 70 KB of XML."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><article article-type="research-article"><front><article-meta>'
        f'<article-id pub-id-type="pmcid">PMC{number}</article-id>{_body(number % 1000)}</article>'
    ).encode()


@cache
def _body(number: int) -> str:
    """An article after its number: title, abstract, four sections of five paragraphs of 200 words, references."""
    chance = np.random.default_rng(number)
    paragraphs = iter(chance.choice(texts(), 21))
    sections = "".join(
        f"<sec><title>{title}</title>{''.join(_paragraph(next(paragraphs)) for _ in range(5))}</sec>"
        for title in ("Introduction", "Methods", "Results", "Discussion")
    )
    references = "".join(
        f'<ref id="r{i}"><label>{i}</label><element-citation publication-type="journal"><person-group>'
        + "".join(
            f"<name><surname>{last}</surname><given-names>{first[0]}</given-names></name>"
            for last, first in words[:8].reshape(4, 2)
        )
        + f"</person-group><article-title>{' '.join(words[8:22])}</article-title><source>{words[22]}</source>"
        f"<year>2001</year><volume>{i}</volume><fpage>1</fpage></element-citation></ref>"
        for i, words in enumerate(chance.choice(vocabulary(), (REFERENCES, 23)))
    )
    return (
        f"<title-group><article-title>{' '.join(chance.choice(vocabulary(), 14))}</article-title></title-group>"
        f"<pub-date><year>{2000 + number % 25}</year></pub-date><abstract><p>{next(paragraphs)}</p></abstract>"
        f"</article-meta></front><body>{sections}</body><back><ref-list>{references}</ref-list></back>"
    )


def _paragraph(text: str) -> str:
    """Words with citations, italics and sentences."""
    words = text.split()
    for i in range(18, len(words), 18):
        words[i] = f'{words[i]} [<xref ref-type="bibr" rid="r{i % REFERENCES}">{i % REFERENCES}</xref>].'
    for i in range(7, len(words), 40):
        words[i] = f"<italic>{words[i]}</italic>"
    return f"<p>{' '.join(words)}</p>"
