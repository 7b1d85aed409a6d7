"""The cost of an export, by format, in one process and on Ray: `python -m tests.scale.export --help`.

The synthetic tables of `tests.scale.report`: 25 entities and some 1,000 characters a document, files and commits as
runs make them. Each export is made by the command in a process of its own.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from craft_ray.export.formats import EXPORTERS
from tests.scale.measured import measured
from tests.scale.report import EACH, PART, write_parts
from tests.support.outputs import STORAGE


def main() -> None:
    """Export the same tables to every format, both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=300_000, help="a multiple of 40,000 is made")
    parser.add_argument("--formats", nargs="+", choices=list(EXPORTERS), default=list(EXPORTERS))
    parser.add_argument("--compact", action="store_true", help="after `craft-ray compact`, which sorts by document")
    parser.add_argument("--folder", type=Path, help="where all goes, in a new folder that is removed at the end")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-export-", dir=given.folder))
    tables = str(folder / "tables")
    try:
        write_parts(STORAGE, tables, range(round(given.documents * EACH / PART)), PART)
        if given.compact:
            measured("compact", tables)
        for format in given.formats:
            for way in ("--no-ray", "--ray"):
                found = measured("export", tables, str(folder / "out"), "--to", format, way)
                said = found.pop("said")
                assert said["documents"]["exported"] == said["documents"]["annotated"]
                rate = round(said["documents"]["exported"] / found["seconds"])
                line = {"format": format, "way": way, "documents": said["documents"]["exported"]} | found
                print(json.dumps(line | {"documents_per_second": rate, "bytes": said["bytes"]}), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
