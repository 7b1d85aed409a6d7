"""A reverse proxy for the S3 server that injects faults.

It passes all headers on, Host included, so that signatures made for the proxy's address are valid at the server.
"""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
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

Kind = Literal["slow_down", "reset", "truncate", "lost_acknowledgement"]

METHODS = {"lost_acknowledgement": ("PUT", "POST", "DELETE"), "truncate": ("GET",)}
"""Methods that some faults are limited to."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "upgrade", "te", "trailer"}
"""Headers of one connection, which no signature covers."""

_SLOW_DOWN = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    "<Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class Fault:
    """A fault of a share of the requests, until it has hit so many."""

    kind: Kind
    probability: float = 1.0
    left: float = inf


class Proxy:
    """A running proxy. `strike` and `heal` are thread-safe."""

    def __init__(self, upstream: str, seed: int) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.endpoint = ""
        self._session: ClientSession

    def strike(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()

    def _chosen(self, request: web.Request) -> set[Kind]:
        chosen: set[Kind] = set()
        with self._lock:
            for fault in self._faults:
                hit = fault.left > 0 and request.method in METHODS.get(fault.kind, (request.method,))
                if hit and self._random.random() < fault.probability:
                    fault.left -= 1
                    chosen.add(fault.kind)
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
        if "reset" in faults:
            return _cut(request)
        if "slow_down" in faults:
            response = web.Response(status=503, text=_SLOW_DOWN, content_type="application/xml")
            response.force_close()
            return response
        try:
            async with self._session.request(
                request.method,
                URL(self._upstream + request.raw_path, encoded=True),
                headers=[(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP],
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                data=request.content.iter_any() if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                if "lost_acknowledgement" in faults:
                    await answer.read()
                    return _cut(request)
                return await _pass_on(request, answer, "truncate" in faults)
        except (ClientConnectionError, ClientPayloadError, ConnectionError, TimeoutError):
            return _cut(request)  # the server is gone, or the client


async def _pass_on(request: web.Request, answer: ClientResponse, truncated: bool) -> web.StreamResponse:
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP]
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in headers:
        response.headers.add(name, value)
    if request.method != "HEAD" and "Content-Length" not in response.headers and answer.status not in (204, 304):
        response.enable_chunked_encoding()
    await response.prepare(request)
    left = int(answer.headers.get("Content-Length", 2)) // 2 if truncated else None
    async for chunk in answer.content.iter_any():
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
