"""Lists of ids to delete."""

import gzip
import io

from craft_ray.core.schema import Deletion, Rejection
from craft_ray.readers import ReadOptions, is_shard_name, read_shard
from craft_ray.readers.deletions import read_deletions


def test_a_number_is_a_pmid_and_anything_else_an_id_as_it_stands():
    content = "\ufeff10000\r\n\n# withdrawn\n PMCID:PMC1 \nmy notes.txt#2\n٣\n".encode()
    ids = ["PMID:10000", "PMCID:PMC1", "my notes.txt#2", "٣"]
    assert list(read_deletions(io.BytesIO(content), "x", ReadOptions())) == [Deletion(name) for name in ids]


def test_pubmeds_own_list_is_told_by_its_name():
    assert is_shard_name("deleted.pmids.gz")
    packed = io.BytesIO(gzip.compress(b"10000\n10001\n"))
    assert list(read_shard(packed, "deleted.pmids.gz")) == [Deletion("PMID:10000"), Deletion("PMID:10001")]


def test_a_bad_line_is_rejected_alone():
    first, second = read_deletions(io.BytesIO(b"\xff\n7\n"), "x", ReadOptions())
    assert isinstance(first, Rejection)
    assert (first.doc_id, first.reason) == ("x#1", "bad_encoding")
    assert second == Deletion("PMID:7")
