from pathlib import Path

import pytest

from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """New tables, opened for writing."""
    return Tables(STORAGE, str(tmp_path))
