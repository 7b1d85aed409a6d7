"""A reverse proxy before the S3 server that can be told to misbehave.

It passes the Host header and all others through unchanged, so that requests signed for the proxy's own address hold at
the server, which checks the signature against the Host header that it is given.
"""

import asyncio
import random
import threading
import time
from collections import Counter
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
"""Requests that some faults befall; the others befall all."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "te", "trailer"}
"""Headers about one connection alone, which no signature covers."""

_SLOW_DOWN = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    "<Message>Please reduce your request rate.</Message></Error>"
)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a share of the requests.

    probability: share of the requests that it befalls
    strength: seconds of `latency`, bytes a second of `bandwidth`; nothing to the others
    path: befalls only requests whose path holds this
    """

    kind: Kind
    probability: float = 1.0
    strength: float = 0.0
    path: str = ""


@dataclass
class _Active:
    """A fault at work; `requests`: how many it must befall yet before it may end."""

    fault: Fault
    until: float
    requests: int


class Proxy:
    """The control of a running proxy; safe to use from any thread."""

    def __init__(self, upstream: str, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._active: list[_Active] = []
        self.dealt: Counter[str] = Counter()
        """Requests that each fault befell."""
        self.endpoint = ""
        self._session: ClientSession

    def strike(self, fault: Fault, seconds: float = float("inf"), requests: int = 0) -> None:
        """Let a fault loose, for good or for so many seconds, and longer until it has befallen so many requests."""
        with self._lock:
            self._active.append(_Active(fault, time.monotonic() + seconds, requests))

    def heal(self) -> None:
        """End all faults."""
        with self._lock:
            self._active.clear()

    def _chosen(self, request: web.Request) -> dict[Kind, Fault]:
        """The faults that befall a request."""
        with self._lock:
            now = time.monotonic()
            self._active = [active for active in self._active if active.until > now or active.requests > 0]
            chosen: dict[Kind, Fault] = {}
            for active in self._active:
                fault = active.fault
                methods = METHODS.get(fault.kind)
                may = (methods is None or request.method in methods) and fault.path in request.path
                if may and self._random.random() < fault.probability:
                    active.requests -= 1
                    chosen[fault.kind] = fault
            self.dealt.update(list(chosen))
            return chosen

    async def start(self) -> web.AppRunner:
        """Listen on a free loopback port, in the running loop."""
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
        """Close the port and all connections."""
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
    """Close the connection, at once (what is not yet sent is dropped) or after what was written; no answer follows."""
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
    """A proxy in a thread of its own."""
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
