"""Files that give nothing, as on a mount that hangs. A named pipe does the same."""

import os
from pathlib import Path

import pytest

from craft_ray.core.errors import ShardError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.prefetch import prefetch
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.storage.streams import Stalls

IMPATIENT = Storage(S3Settings(), patience=0.2)


def test_a_file_that_gives_nothing_is_put_aside(tmp_path: Path):
    silent, falters, good = (tmp_path / name for name in ("a-silent", "b-falters", "c-good"))
    os.mkfifo(silent)
    os.mkfifo(falters)
    writer = os.open(falters, os.O_RDWR)
    os.write(writer, b"a mo")
    good.write_bytes(b"a mouse")
    read = {}
    for shard, open_shard in prefetch(IMPATIENT, [Shard(str(path), 7) for path in (silent, falters, good)]):
        content = b""
        try:
            with open_shard() as stream:
                while part := stream.read1(2):
                    content += part
        except ShardError as error:
            content += f" {error}".encode()
        read[Path(shard.name).name] = content
    os.close(writer)
    gave_nothing = b" unreadable: it gave nothing for 0.%s s"
    assert read == {"a-silent": gave_nothing % b"2", "b-falters": b"a mo" + gave_nothing % b"2", "c-good": b"a mouse"}


def test_files_that_stall_one_after_the_other_are_waited_for_less(tmp_path: Path):
    stalls = Stalls(patience=8)
    for waited in (8, 4, 2, 1, 1):
        assert stalls.seconds == waited
        stalls.stalled()
    stalls.call(str)
    assert stalls.seconds == 8


def test_errors_and_positions_are_those_of_the_file(tmp_path: Path):
    content = os.urandom(3 << 20)
    path = tmp_path / "x"
    path.write_bytes(content)
    with Stalls(patience=60).open(str(path)) as stream:
        assert stream.read(10) == content[:10]
        assert stream.seek(-5, os.SEEK_END) == len(content) - 5
        assert stream.read() == content[-5:]
        assert (stream.seek(1 << 20), stream.tell(), stream.read(3)) == (1 << 20, 1 << 20, content[1 << 20 :][:3])
    with pytest.raises(FileNotFoundError):
        Stalls(patience=60).open(str(tmp_path / "y"))
