"""Fuzz the readers with atheris, guided by coverage, each in a process of its own.

    python -m tests.readers.fuzz jats tar --inputs 200000

A reader may raise ShardError only, must be deterministic, and must give sections in order within their text. Prints a
line of JSON per reader, with failing inputs as base64, and exits with 1 if there are failures.
"""

import argparse
import base64
import io
import json
import os
import subprocess
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.readers.fuzz")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"any of {', '.join(READERS)}; all by default")
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs per reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (default: %(default)s)")
    parser.add_argument("--in-process", action="store_true", help="fuzz a single reader and exit")
    args = parser.parse_args()
    if unknown := set(args.readers) - set(READERS):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    if args.in_process:
        fuzz(args.readers[0], args.inputs, args.seed)
    failed = 0
    for reader in args.readers or READERS:
        command = [sys.executable, "-m", "tests.readers.fuzz", reader, "--in-process"]
        command += ["--inputs", str(args.inputs), "--seed", str(args.seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not result.startswith("{"):
            result = json.dumps({"reader": reader, "exit_code": done.returncode, "failures": {done.stderr[-3000:]: ""}})
        failed += len(json.loads(result)["failures"])
        print(result, flush=True)
    return 1 if failed else 0


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
            print(json.dumps({"reader": reader, "inputs": runs, "failures": failures}), flush=True)
            os._exit(0)

    sample = {"pubmed": ["citations.xml"], "jats": ["article.nxml"]}.get(reader, [])
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate([GOOD[reader], *((SAMPLE / file).read_bytes() for file in sample)]):
            Path(folder, str(number)).write_bytes(content)
        options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", folder], run)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
