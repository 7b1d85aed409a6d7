"""Feeds readers bytes that coverage leads to, and checks what must hold of any bytes.

    python -m tests.readers.fuzz jats tar --inputs 200000

A reader may raise ShardError alone, must yield the same again, and documents whose sections lie in order in their text.
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
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.conftest import SAMPLE

READERS = {
    **{
        name: ("x", name)
        for name in ("pubmed", "jats", "bioc", "pubtator", "medline", "csv", "jsonl", "parquet", "text")
    },
    "bioc-json": ("x", "bioc"),
    "gzip": ("x.jsonl.gz", None),
    "tar": ("x.tar", None),
}
"""Each reader, gzip and tar, with the name and the format that a shard is read under."""

LONGEST = 1 << 14
"""Bytes of an input."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.readers.fuzz",
        description="Fuzz the readers with atheris, each in a process of its own, from small good shards on.",
        epilog="Prints inputs run and failures, as base64, a line a reader; ends with 1 if there are failures.",
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"any of {', '.join(READERS)}; all if none")
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs a reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (default: %(default)s)")
    parser.add_argument("--here", action="store_true", help="fuzz one reader in this process, which ends with it")
    given = parser.parse_args(arguments)
    if unknown := set(given.readers) - set(READERS):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    if given.here:
        if len(given.readers) != 1:
            parser.error("--here takes one reader")
        fuzz(given.readers[0], given.inputs, given.seed)
    failed = 0
    for reader in given.readers or READERS:
        command = [sys.executable, "-m", "tests.readers.fuzz", reader, "--here"]
        command += ["--inputs", str(given.inputs), "--seed", str(given.seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        result = done.stdout.strip().rpartition("\n")[2]
        if done.returncode or not result.startswith("{"):
            result = json.dumps({"reader": reader, "ended": done.returncode, "said": done.stderr[-3000:]})
            failed += 1
        else:
            failed += len(json.loads(result)["failures"])
        print(result, flush=True)
    return 1 if failed else 0


def fuzz(reader: str, inputs: int, seed: int) -> None:
    """Run inputs through a reader, print what came of it, and end the process: libFuzzer does not return."""
    import atheris

    with atheris.instrument_imports(include=["craft_ray.readers", "tarfile", "_compression"]):
        from craft_ray.core.errors import ShardError
        from craft_ray.core.schema import Document, Item
        from craft_ray.readers import ReadOptions, read_shard

    name, format = READERS[reader]
    failures: dict[str, str] = {}
    runs = 0

    def items(content: bytes) -> list[Item | str]:
        found: list[Item | str] = []
        try:
            found.extend(read_shard(io.BytesIO(content), name, ReadOptions(format)))
        except ShardError as error:
            found.append(str(error))
        return found

    def check(content: bytes) -> None:
        found = items(content)
        assert repr(found) == repr(items(content)), "another reading gives something else"
        for item in found:
            if isinstance(item, Document):
                end = 0
                for section in item.sections:
                    assert end <= section.start < section.end <= len(item.text), "sections out of order"
                    end = section.end

    def run(content: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            check(content)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
            failures.setdefault(place[:200], base64.b64encode(content).decode())
        if runs >= inputs:
            print(json.dumps({"reader": reader, "inputs": runs, "failures": failures}), flush=True)
            os._exit(0)

    start(atheris, run, seeds(reader), seed)


def start(atheris: object, run: Callable[[bytes], None], corpus: Sequence[bytes], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(corpus):
            Path(folder, str(number)).write_bytes(content)
        options = [f"-seed={seed}", f"-max_len={LONGEST}", "-timeout=60", "-rss_limit_mb=4096", "-verbosity=0"]
        options.append(f"-artifact_prefix={folder}/")
        atheris.Setup([sys.argv[0], *options, folder], run)  # type: ignore[attr-defined]
        atheris.Fuzz()  # type: ignore[attr-defined]


def seeds(reader: str) -> list[bytes]:
    """A small good shard, and the sample's where it has one."""
    from tests.support.hostile.making import GOOD  # after the readers, which it imports, are instrumented

    sample = {"pubmed": "citations.xml", "jats": "article.nxml"}
    return [GOOD[reader], *([(SAMPLE / sample[reader]).read_bytes()] if reader in sample else [])]


if __name__ == "__main__":
    sys.exit(main())
