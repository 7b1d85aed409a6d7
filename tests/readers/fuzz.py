"""Fuzz a reader with atheris, guided by coverage.

    python -m tests.readers.fuzz jats --inputs 200000

A reader may raise ShardError only, must be deterministic, and must give sections in order within their text. Prints a
line of JSON with the number of inputs, and failing ones as base64.
"""

import argparse
import base64
import io
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

from tests.conftest import SAMPLE

_ARTICLES = ("pubmed", "jats", "bits", "grobid", "europepmc", "bioc", "pubtator", "medline")
FORMATS = (*_ARTICLES, "csv", "jsonl", "parquet", "text")

READERS = {
    **{name: ("x", name) for name in FORMATS},
    "bioc-json": ("x", "bioc"),
    "gzip": ("x.jsonl.gz", None),
    "tar": ("x.tar", None),
}
"""File name and format for each reader and wrapping."""

MAX_BYTES = 1 << 14


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.readers.fuzz")
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--inputs", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (default: %(default)s)")
    args = parser.parse_args()
    fuzz(args.reader, args.inputs, args.seed)


def fuzz(reader: str, inputs: int, seed: int) -> None:
    """Run inputs, print the result and exit, since libFuzzer does not return."""
    import atheris

    with atheris.instrument_imports(include=["craft_ray.readers", "tarfile", "_compression"]):
        from craft_ray.core.errors import ShardError
        from craft_ray.core.schema import Document
        from craft_ray.readers import read_shard
        from craft_ray.readers.reader import ReadOptions
    from tests.support.hostile.making import GOOD  # imports the readers, which must be instrumented first

    name, format = READERS[reader]
    failures: dict[str, str] = {}
    runs = 0

    def read(content: bytes) -> list[object]:
        items: list[object] = []
        try:
            items.extend(read_shard(io.BytesIO(content), name, ReadOptions(format)))
        except ShardError as error:
            items.append(str(error))
        return items

    def check(content: bytes) -> None:
        items = read(content)
        assert repr(items) == repr(read(content)), "a second reading differs"
        for item in items:
            end = 0
            for section in item.sections if isinstance(item, Document) else ():
                assert end <= section.start < section.end <= len(item.text), "sections out of order"
                end = section.end

    def run(content: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            check(content)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
            failures.setdefault(failure[:200], base64.b64encode(content).decode())
        if runs >= inputs:
            print(json.dumps({"inputs": runs, "failures": failures}), flush=True)
            os._exit(0)

    sample = {"pubmed": ["citations.xml"], "jats": ["article.nxml"]}.get(reader, [])
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate([GOOD[reader], *((SAMPLE / file).read_bytes() for file in sample)]):
            Path(folder, str(number)).write_bytes(content)
        options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", folder], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
