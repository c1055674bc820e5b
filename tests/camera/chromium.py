"""Headless Chromium, driven by its DevTools protocol over aiohttp's WebSocket client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
START = 60.0
"""How long Chromium may take to start, and a page to do something [s]."""


class Tab:
    """One open page."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket, self._number = loop, socket, 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._loop.run_until_complete(self._ask(method, params))

    async def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            answer = await asyncio.wait_for(self._socket.receive_json(), START)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def value(self, script: str) -> Any:
        """What a script gives."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """Wait until a script gives something true."""
        end = time.monotonic() + START
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"never: {script}"
            time.sleep(0.05)
        return found

    def press(self, key: str) -> None:
        """Press a key."""
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self) -> bytes:
        """A PNG of the page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """Close the page, as a person does."""
        with contextlib.suppress(Exception):
            self.ask("Page.close")


def need_chromium() -> None:
    """Skip where there is no Chromium: on the test's own thread, for nowhere else is it heard."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there")


@contextlib.contextmanager
def chromium(address: str, folder: Path) -> Iterator[Tab]:
    """Open a page; see `need_chromium`."""
    import aiohttp

    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1280,760"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        told, end = folder / "DevToolsActivePort", time.monotonic() + START
        while not told.exists() or len(told.read_text().split()) < 2:
            assert time.monotonic() < end, "Chromium does not start"
            time.sleep(0.05)
        port = told.read_text().split()[0]

        async def opened() -> tuple[Any, Any]:
            client = aiohttp.ClientSession()
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [item for item in json.loads(await answer.text()) if item["type"] == "page"]
            return client, await client.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

        client, socket = loop.run_until_complete(opened())
        tab = Tab(loop, socket)
        try:
            tab.ask("Page.enable")
            tab.ask("Page.navigate", url=address)
            yield tab
        finally:
            loop.run_until_complete(client.close())
    finally:
        process.terminate()
        process.wait(10.0)
        loop.close()
