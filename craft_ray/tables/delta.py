"""One Delta table whose commits are numbered: how a commit is made, recognised, and refused to another run."""

import json
import uuid

from deltalake import CommitProperties, Transaction
from deltalake.transaction import AddAction

from craft_ray.tables.blocks import DataFile

SEQUENCE = "craft-ray"
"""Name of the application transaction."""

COMMIT = "craft-ray-commit"
"""Name under which a commit's log entry holds a mark of its own."""


def commit_properties(sequence: int) -> CommitProperties:
    """The properties of a commit that carries a sequence number."""
    return CommitProperties(
        app_transactions=[Transaction(SEQUENCE, sequence)],
        custom_metadata={SEQUENCE: str(sequence), COMMIT: uuid.uuid4().hex},
    )


def add_action(file: DataFile, now: int) -> AddAction:
    """The Delta action that adds a written file; `now` in milliseconds since 1970."""
    stats = {
        "numRecords": file.rows,
        "minValues": {"doc_id": file.first_id},
        "maxValues": {"doc_id": file.last_id},
        "nullCount": {"doc_id": 0},
    }
    partition = {name: None if value is None else str(value) for name, value in file.partition.items()}
    return AddAction(file.path, file.size, partition, now, True, json.dumps(stats))
