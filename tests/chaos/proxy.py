"""A reverse proxy for the S3 server that injects faults.

It passes all headers on, Host included, so that signatures made for the proxy's address are valid at the server.
"""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    web,
)
from yarl import URL

Kind = Literal["slow_down", "latency", "reset", "truncate", "bandwidth", "lost_acknowledgement"]

METHODS = {"lost_acknowledgement": ("PUT", "POST", "DELETE"), "truncate": ("GET",)}
"""Methods that some faults are limited to."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "te", "trailer"}
"""Headers of one connection, which no signature covers."""

_SLOW_DOWN = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    "<Message>Please reduce your request rate.</Message></Error>"
)


@dataclass(frozen=True)
class Fault:
    """A fault of a share of the requests.

    strength: seconds of `latency`, bytes per second of `bandwidth`; unused by the others
    """

    kind: Kind
    probability: float = 1.0
    strength: float = 0.0


@dataclass
class _Active:
    """A fault in force, until a time and until it has hit so many more requests."""

    fault: Fault
    until: float
    requests: int


class Proxy:
    """A running proxy. `strike` and `heal` are thread-safe."""

    def __init__(self, upstream: str, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._active: list[_Active] = []
        self.endpoint = ""
        self._session: ClientSession

    def strike(self, fault: Fault, seconds: float = float("inf"), requests: int = 0) -> None:
        """Inject a fault for so many seconds, and longer until it has hit so many requests."""
        with self._lock:
            self._active.append(_Active(fault, time.monotonic() + seconds, requests))

    def heal(self) -> None:
        with self._lock:
            self._active.clear()

    def _chosen(self, request: web.Request) -> dict[Kind, Fault]:
        with self._lock:
            now = time.monotonic()
            self._active = [active for active in self._active if active.until > now or active.requests > 0]
            chosen: dict[Kind, Fault] = {}
            for active in self._active:
                fault = active.fault
                methods = METHODS.get(fault.kind)
                if (methods is None or request.method in methods) and self._random.random() < fault.probability:
                    active.requests -= 1
                    chosen[fault.kind] = fault
            return chosen

    async def start(self) -> web.AppRunner:
        self._session = ClientSession(
            connector=TCPConnector(limit=0), auto_decompress=False, timeout=ClientTimeout(total=None, sock_connect=5)
        )
        app = web.Application(client_max_size=1 << 40)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        faults = self._chosen(request)
        if fault := faults.get("latency"):
            await asyncio.sleep(fault.strength)
        if "reset" in faults:
            return _cut(request)
        if "slow_down" in faults:
            response = web.Response(status=503, text=_SLOW_DOWN, content_type="application/xml")
            response.force_close()
            return response
        rate = faults["bandwidth"].strength if "bandwidth" in faults else None
        try:
            async with self._session.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers=[(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP],
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                data=_throttled(request.content.iter_any(), rate) if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                if "lost_acknowledgement" in faults:
                    await answer.read()
                    return _cut(request)
                return await _pass_on(request, answer, rate, "truncate" in faults)
        except (ClientConnectionError, ClientPayloadError, ConnectionError, TimeoutError):
            return _cut(request)  # the server is gone, or the client


async def _pass_on(
    request: web.Request, answer: ClientResponse, rate: float | None, truncated: bool
) -> web.StreamResponse:
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in headers:
        response.headers.add(name, value)
    if request.method != "HEAD" and "Content-Length" not in response.headers and answer.status not in (204, 304):
        response.enable_chunked_encoding()
    await response.prepare(request)
    left = int(answer.headers.get("Content-Length", 2)) // 2 if truncated else None
    async for chunk in _throttled(answer.content.iter_any(), rate):
        if left is not None and len(chunk) > left:
            await response.write(chunk[:left])
            return _cut(request, at_once=False)
        if left is not None:
            left -= len(chunk)
        await response.write(chunk)
    await response.write_eof()
    return response


def _cut(request: web.Request, at_once: bool = True) -> web.StreamResponse:
    """Close the connection without an answer; unless `at_once`, what was written is sent first."""
    if request.transport is not None:
        request.transport.abort() if at_once else request.transport.close()
    return web.Response()


async def _throttled(chunks: AsyncIterator[bytes], rate: float | None) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if rate is None:
            yield chunk
            continue
        step = max(1, int(rate / 10))
        for start in range(0, len(chunk), step):
            yield chunk[start : start + step]
            await asyncio.sleep(0.1)


@contextmanager
def running_proxy(upstream: str, seed: int) -> Iterator[Proxy]:
    proxy = Proxy(upstream, seed)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(timeout=30)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(runner), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()
