"""S3 servers by different makers, reached by the usual environment."""

from collections.abc import Callable

import pytest

from tests.support.s3_server import S3Access


@pytest.fixture
def fresh_prefix_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3Access], str]:
    """Set the AWS variables of a server, and return an unused prefix."""

    def use(server: S3Access) -> str:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        return server.fresh_prefix()

    return use
