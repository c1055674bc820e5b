"""A page in the browser, on loopback: pictures go out as MJPEG, what a person wants comes in over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import queue
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from policy_port.errors import MissingDependencyError, OutputError

try:
    from aiohttp import WSMsgType, web
except ModuleNotFoundError as _cause:
    raise MissingDependencyError(
        f"the page needs the Python package {_cause.name}, which is not installed: pip install 'policy-port[camera]'"
    ) from None

HOST = "127.0.0.1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names by which a browser on this machine, or at the other end of a tunnel, calls it."""
BOUNDARY = "frame"
GRACE = 2.0
"""How long nobody may have the page open before it counts as closed [s]: a reload takes less."""
QUALITY = 85
MOST = 4096
"""Longest message that a page sends [bytes]."""


class Page:
    """Serves one page from a thread of its own until `close`.

    Whoever does not have the token of its address gets nothing; nor does a page of another origin that has it.
    """

    def __init__(self, html: Path, *, port: int = 0) -> None:
        """Listen.

        Args:
            html: The page.
            port: TCP port; 0 for any that is free.

        Raises:
            OutputError: When it can't listen there.
        """
        self._html, self._token = html.read_text(encoding="utf-8"), secrets.token_urlsafe(16)
        self.wishes: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        """What pages have asked for, in order."""
        self._sockets: set[web.WebSocketResponse] = set()
        self._state, self._jpeg, self._number = "{}", b"", 0
        self._news = asyncio.Condition()
        self._left: float | None = None
        self._closed = False
        listening = _listen(port)
        self.port: int = listening.getsockname()[1]
        """The TCP port."""
        self.address = f"http://{HOST}:{self.port}/?token={self._token}"
        """What a browser opens."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(listening, ready), name="page", daemon=True)
        self._thread.start()
        ready.wait()

    @property
    def gone(self) -> bool:
        """Whether it was open in a browser, and is no more."""
        left = self._left
        return left is not None and not self._sockets and time.monotonic() - left > GRACE

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture: RGB, shape (height, width, 3)."""
        done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        assert done
        self._run(self._put(jpeg.tobytes()))

    def tell(self, state: dict[str, Any]) -> None:
        """Tell every page how things stand."""
        self._run(self._send(json.dumps(state)))

    def close(self) -> None:
        """Serve no more. Twice is harmless."""
        if not self._closed:
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self, work: Any) -> None:
        if self._closed:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _put(self, jpeg: bytes) -> None:
        async with self._news:
            self._jpeg, self._number = jpeg, self._number + 1
            self._news.notify_all()

    async def _send(self, state: str) -> None:
        self._state = state
        for page in tuple(self._sockets):
            # One that went away is noticed where it is read.
            with contextlib.suppress(ConnectionError, RuntimeError):
                await page.send_str(state)

    def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(middlewares=[self._guard])
        app.add_routes([web.get("/", self._index), web.get("/stream", self._stream), web.get("/live", self._live)])
        runner = web.AppRunner(app, shutdown_timeout=0.2, access_log=None)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.SockSite(runner, listening).start())
        ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A name that leads here but is not this machine's own is another page's trick to get past its origin.
        ours = _hostname(f"http://{request.host}") in LOOPBACK
        origin = request.headers.get("Origin")
        same = origin is None or urlsplit(origin).netloc == request.host
        if not (ours and same and hmac.compare_digest(request.query.get("token", "").encode(), self._token.encode())):
            raise web.HTTPForbidden(text="open the address that the command has printed, with its token\n")
        return await handler(request)

    async def _index(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}
        return web.Response(text=self._html, content_type="text/html", headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        kind = {"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=kind)
        await response.prepare(request)
        seen = 0
        with contextlib.suppress(ConnectionError):
            while True:
                async with self._news:
                    await self._news.wait_for(lambda last=seen: self._number != last)
                    jpeg, seen = self._jpeg, self._number
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                await response.write(head.encode() + jpeg + b"\r\n")
        return response

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        page = web.WebSocketResponse(heartbeat=2.0, max_msg_size=MOST)
        await page.prepare(request)
        self._sockets.add(page)
        try:
            await page.send_str(self._state)
            async for message in page:
                wish = _wish(message.data) if message.type is WSMsgType.TEXT else None
                if wish is not None:
                    self.wishes.put(wish)
        finally:
            self._left = time.monotonic()
            self._sockets.discard(page)
        return page


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
    except (OSError, OverflowError) as cause:
        listening.close()
        why = getattr(cause, "strerror", None) or cause
        raise OutputError(
            f"--port {port}: the page can't listen at {HOST} ({why}); give another --port, 0 for any that is free"
        ) from None
    return listening


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _wish(text: str) -> dict[str, Any] | None:
    try:
        wish = json.loads(text)
    except ValueError:
        return None
    return wish if isinstance(wish, dict) and isinstance(wish.get("do"), str) else None
