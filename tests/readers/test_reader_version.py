"""Outputs read their files again when READER_VERSION grows. So it must grow when readers give other documents."""

import hashlib
import io
import json
from dataclasses import asdict

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Rejection
from craft_ray.readers import read_items
from craft_ray.readers.reader import READER_VERSION, ReadOptions
from tests.conftest import SAMPLE
from tests.readers.test_xml_faults import FORMATS
from tests.support.hostile.corpus import cases

MAX_BYTES = 1 << 20

RECORDED = (5, "d5c80042cb695e91")
"""READER_VERSION, and the digest of what readers give for the inputs below."""


def inputs() -> dict[str, bytes]:
    """Every format, with records that are right, odd or wrong, by file name."""
    found = {path.name: path.read_bytes() for path in sorted(SAMPLE.iterdir()) if path.is_file()}
    for format, (start, record, end) in FORMATS.items():
        found[f"{format}.xml"] = (start + record.format(number=1, fault="") + end).encode()
    written = {case.name: case.content for case in cases() if isinstance(case.content, bytes)}
    return found | {name: content for name, content in written.items() if len(content) < MAX_BYTES}


def test_the_version_grows_with_what_readers_give():
    digest = hashlib.sha256()
    for name, content in sorted(inputs().items()):
        items: list[object] = []
        try:
            for key, item in read_items(io.BytesIO(content), name, ReadOptions()):
                # Details of a rejection may be a library's words.
                items.append([key, item.doc_id, item.reason] if isinstance(item, Rejection) else [key, asdict(item)])
        except ShardError as error:
            items.append(error.reason)
        digest.update(json.dumps([name, items], default=str, sort_keys=True).encode("utf-8", "surrogatepass"))
    found = (READER_VERSION, digest.hexdigest()[:16])
    assert found == RECORDED, "if readers give other documents, increase READER_VERSION; then record both here"
