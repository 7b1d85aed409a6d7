"""The log, for programs and for people."""

import io
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from craft_ray.core.logs import configure_logging, log, log_fields, with_log_fields


def log_all() -> None:
    with log_fields(run_id="r1"):
        log.info("committed", extra={"documents": 3})
        log.warning("shard", extra={"shard": "a\x1b[2J.xml", "reason": "bad_xml"})
        log.warning("the cluster at %s does not answer", "a\x1b[2J")


def test_json_lines(capsys: pytest.CaptureFixture[str]):
    configure_logging("json")
    log_all()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["level"], line["run_id"]) for line in lines] == [
        ("committed", "info", "r1"),
        ("shard", "warning", "r1"),
        ("the cluster at a\x1b[2J does not answer", "warning", "r1"),
    ]
    assert lines[1]["reason"] == "bad_xml"


def test_text_has_sentences_only(capsys: pytest.CaptureFixture[str]):
    configure_logging("text")
    log_all()
    assert capsys.readouterr().err == "the cluster at a\N{REPLACEMENT CHARACTER}[2J does not answer\n"


def test_verbose_text_has_events(capsys: pytest.CaptureFixture[str]):
    configure_logging("text", verbose=True)
    log_all()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "committed: documents 3"
    assert lines[1] == "shard: shard a\N{REPLACEMENT CHARACTER}[2J.xml, reason bad_xml"
    assert len(lines) == 3


def test_other_handlers_add_no_fields(capsys: pytest.CaptureFixture[str]):
    other = logging.StreamHandler(io.StringIO())
    other.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers[:] = [other]
    configure_logging("text")
    log_all()
    assert capsys.readouterr().err == "the cluster at a\N{REPLACEMENT CHARACTER}[2J does not answer\n"
    configure_logging("json")
    log_all()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {name for line in lines for name in line} & {"message", "asctime"} == set()


def test_fields_may_be_removed_in_any_order(capsys: pytest.CaptureFixture[str]):
    configure_logging("json")
    first, second = log_fields(run_id="r1"), log_fields(run_id="r2", shard="a.xml")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    log.info("in the second")
    second.__exit__(None, None, None)
    log.info("in none")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line.get("run_id"), line.get("shard")) for line in lines] == [("r2", "a.xml"), (None, None)]


def test_each_thread_logs_the_fields_of_its_own_run(capsys: pytest.CaptureFixture[str]):
    configure_logging("json")
    both = threading.Barrier(2)

    def run(run_id: str) -> None:
        with log_fields(run_id=run_id):
            both.wait(10)
            helper = threading.Thread(target=with_log_fields(lambda: log.info(run_id)))
            helper.start()
            helper.join()
            both.wait(10)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, ("r1", "r2")))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted((line["event"], line["run_id"]) for line in lines) == [("r1", "r1"), ("r2", "r2")]
