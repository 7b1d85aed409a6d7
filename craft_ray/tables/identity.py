"""Hashes that identify documents, contents and revisions, equal in every process and every run."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import RunError
from craft_ray.core.hashing import hash64
from craft_ray.core.schema import Deletion, Document, Item

VERSION_BITS = 31
_CONTENT_BITS = 40
"""Bits of a key that depend on the content: a revision is taken for the existing document once in 10^12."""
_SHARD_BITS = 32
_SHARD_MASK = (1 << _SHARD_BITS) - 1


@dataclass(frozen=True, slots=True)
class IdHasher:
    """Hashes document ids to signed 64-bit numbers.

    key: a secret of the output, so that nobody can make ids that collide. By chance two of PubMed's 36 million ids
         collide in one output of 30,000, which ends the run (`refuse_collisions`).
    """

    key: bytes = b""

    def hash(self, doc_id: str) -> int:
        return int(self.hashes([doc_id])[0])

    def hashes(self, doc_ids: Iterable[str]) -> NDArray[np.int64]:
        """The number of each document id, shape (documents,)."""
        digests = (hashlib.blake2b(doc_id.encode(), digest_size=8, key=self.key).digest() for doc_id in doc_ids)
        return np.frombuffer(b"".join(digests), np.int64)


def content_hash(item: Item) -> str:
    """128 bits in hexadecimal over everything that the tables keep of an item."""
    if isinstance(item, Document):
        sections = [(section.name, section.start, section.end) for section in item.sections]
        metadata = json.dumps(item.metadata, sort_keys=True, default=str)
        fields = [item.text, sections, item.version, item.title, item.year, item.journal, metadata]
    elif isinstance(item, Deletion):
        fields = ["deleted", item.version]
    else:
        fields = ["rejected", item.reason, item.detail]
    return hashlib.blake2b(json.dumps(fields).encode(), digest_size=16).hexdigest()


def key(doc_id: str, content: str, fingerprint: str) -> int:
    """A signed 64-bit number for a document id, its content hash and the model that annotates it.

    Its highest 24 bits are of the id alone, so that ids with the same hash can be told apart.
    """
    content_bits = hash64(json.dumps([doc_id, content, fingerprint]).encode()) & ((1 << _CONTENT_BITS) - 1)
    return hash64(doc_id.encode()) >> _CONTENT_BITS << _CONTENT_BITS | content_bits


def refuse_collisions(keys: NDArray[np.int64], others: NDArray[np.int64]) -> None:
    """Raise RunError if keys of documents with the same id hash are of different ids; shape (documents,) each.

    Of PubMed's ids, two remain undetected in one output of 500 billion.
    """
    if (keys >> _CONTENT_BITS != others >> _CONTENT_BITS).any():
        raise RunError(
            "two documents have the same id hash by chance, and one would take the place of the other: "
            "annotate into a new output, which hashes ids with another secret"
        )


def revision(version: int, shard_number: int, rejected: bool) -> int:
    """The order of one document's revisions: readable after rejected, then by version, then by the shard's rank."""
    version = 0 if rejected else min(max(version, 0) + 1, (1 << VERSION_BITS) - 1)
    return version << _SHARD_BITS | (shard_number & _SHARD_MASK)


def revisions(
    version: NDArray[np.integer], shard_number: NDArray[np.integer], rejected: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """`revision` of each document, shape (documents,)."""
    versions = np.minimum(np.maximum(version.astype(np.int64), 0) + 1, (1 << VERSION_BITS) - 1)
    return np.where(rejected, 0, versions) << _SHARD_BITS | (shard_number.astype(np.int64) & _SHARD_MASK)


def shard_numbers(revisions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank of the shard that each revision comes from."""
    return revisions & _SHARD_MASK


def with_latest_shard(revisions: NDArray[np.int64], shard_number: NDArray[np.integer]) -> NDArray[np.int64]:
    """Revisions raised to the shard that gave the same content again, where that shard is later."""
    version = revisions >> _SHARD_BITS << _SHARD_BITS
    return version | np.maximum(shard_numbers(revisions), shard_number.astype(np.int64))
