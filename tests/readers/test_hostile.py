"""Readers and preprocessing on hostile inputs."""

import io
import json
import re

import pyarrow as pa
import pytest

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.rows import SHARD_END
from craft_ray.core.schema import REASONS
from craft_ray.readers import limits
from craft_ray.storage.shards import Shard
from tests.conftest import ROOT
from tests.support.hostile.corpus import cases
from tests.support.hostile.making import Case, article
from tests.support.models import TOKENIZER
from tests.support.reading import only

PREPARER = Preprocessor(ReadTask(TOKENIZER.to_str(), 510, 0, "model"))


def prepared(case: Case) -> pa.Table:
    return pa.concat_tables(PREPARER.prepare(io.BytesIO(case.make()), Shard(case.name, 0, number=0)))


def no_json(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_hostile_shard(case: Case, monkeypatch):
    """With a lower limit than in production, so that bombs need not have hundreds of megabytes."""
    monkeypatch.setattr(limits, "MAX_DOCUMENT_BYTES", 15 << 20)
    *rows, end = prepared(case).select(["doc_id", "status", "reason", "metadata"]).to_pylist()
    assert {row["doc_id"]: row["reason"] or row["status"] for row in rows} == case.expected(case.name)
    assert len(rows) == len(case.outcome)
    assert end["status"] == SHARD_END
    assert {row["reason"] for row in rows} <= {None, *REASONS}
    for row in rows:
        assert row["metadata"] is None or isinstance(json.loads(row["metadata"], parse_constant=no_json), dict)


def test_readme_lists_exactly_the_reasons():
    page = (ROOT / "craft_ray/tables/README.md").read_text(encoding="utf-8")
    table = page.split("| reason | what it means |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)) == REASONS


def test_nested_text_is_read_once():
    content = article(f"<fig>{'<caption>' * 100}<p>mice</p>{'</caption>' * 100}</fig>")
    assert only(content, "x.nxml").text == "mice"


def test_section_names_have_a_bounded_length():
    content = article(f"<sec><title>{'long ' * 1000}</title>" * 50 + "<p>mice</p>" + "</sec>" * 50)
    assert max(len(section.name) for section in only(content, "x.nxml").sections) == 1000
