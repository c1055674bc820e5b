"""The page's server: who gets in, and when it counts as closed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import aiohttp

import policy_port.camera.page as pages
from policy_port.camera.page import Page
from policy_port.errors import OutputError

HTML = Path(pages.__file__).with_name("align.html")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(pages, "GRACE", 0.05)
    with contextlib.closing(Page(HTML)) as page:
        yield page


def status(page: Page, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10.0)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def test_only_who_has_the_token_and_comes_from_the_page_gets_in(page: Page) -> None:
    """No token, a wrong one, another page's origin and another machine's name are all refused, everywhere."""
    query = urlsplit(page.address).query
    assert status(page, f"/?{query}") == 200
    here = f"127.0.0.1:{page.port}"
    assert status(page, f"/?{query}", Origin=f"http://{here}") == 200
    for path in ("/", "/stream", "/live"):
        for bad in ("", "?token=", "?token=%C3%A9", f"?{query}x"):
            assert status(page, path + bad) == 403
        for name, value in (("Origin", "http://evil.example"), ("Origin", "null"), ("Host", "evil.example:80")):
            assert status(page, f"{path}?{query}", **{name: value}) == 403


def test_wishes_come_in_pictures_go_out_and_it_is_gone_once_closed(page: Page) -> None:
    """What a page sends is read if it is a wish; it gets the state at once; closed, it is gone after a grace."""
    page.tell({"numbers": 1})
    page.show(np.zeros((8, 8, 3), np.uint8))
    assert not page.gone
    query = urlsplit(page.address).query

    async def browse() -> tuple[object, bytes]:
        async with aiohttp.ClientSession() as client:
            async with client.ws_connect(f"http://127.0.0.1:{page.port}/live?{query}") as socket:
                state = await socket.receive_json()
                for text in ("no json", "[1]", '{"do": 3}', '{"do": "save"}'):
                    await socket.send_str(text)
                async with client.get(f"http://127.0.0.1:{page.port}/stream?{query}") as stream:
                    part = await stream.content.read(200)
                    while page.wishes.empty():
                        await asyncio.sleep(0.01)
            return state, part

    state, part = asyncio.run(asyncio.wait_for(browse(), 20.0))
    assert state == {"numbers": 1}
    assert b"image/jpeg" in part
    assert page.wishes.get() == {"do": "save"}
    assert page.wishes.empty()
    end = time.monotonic() + 10.0
    while not page.gone:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_taken_port_is_refused_and_any_free_one_taken(page: Page) -> None:
    """The message names the port and the way out, which works; closing twice is harmless."""
    with pytest.raises(OutputError, match=rf"--port {page.port}: the page can't listen .* give another --port, 0 for"):
        Page(HTML, port=page.port)
    other = Page(HTML, port=0)
    other.close()
    other.close()
    other.tell({})
