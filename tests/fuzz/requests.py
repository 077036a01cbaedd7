"""What a browser, or something else, says to the page."""

import atexit
import json
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.console import UserError
from pipeline.live.page import Page
from tests.live.streams import arrival, plain
from tests.live.test_page import STYLES, opened

TIMEOUT_S = 0.5
VIEWER = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"
SHOWN = b"\x81\x85\0\0\0\0shown"
"""A WebSocket frame of text, masked by zeros (RFC 6455, section 5)."""
LAST = b"\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Else a connection would be kept."""


def originals(_: Path) -> list[bytes]:
    mix = json.dumps({"weights": dict.fromkeys(STYLES, 0.5), "strength": 0.5})
    return [
        _request("GET /"),
        _request(f"GET /styles/{STYLES[0]}.jpg"),
        _request("PUT /mix", f"Content-Type: application/json\r\nContent-Length: {len(mix)}\r\n") + mix.encode(),
        _request("GET /watch", VIEWER.format("AAAAAAAAAAAAAAAAAAAAAA==")) + SHOWN,
    ]


def read(path: Path) -> None:
    page = _page()
    host = urlsplit(page.address)
    with socket.create_connection((host.hostname or "", host.port or 0), TIMEOUT_S) as connection:
        connection.sendall(path.read_bytes() + LAST)
        head = b""
        with suppress(OSError), connection.makefile("rb") as answer:  # which waits for a body that never comes
            head = answer.readline()
            while answer.read(65536):
                pass
    assert set(page.mix.weights) <= set(STYLES)
    assert 0 <= page.mix.strength <= 1
    if not head:
        raise UserError("no answer")
    status = int(head.split()[1])
    assert status < 500, head
    if status >= 400:
        raise UserError(f"status {status}")


@cache
def _page() -> Page:
    page = opened()
    page.__enter__()
    atexit.register(page.__exit__)
    frame = plain(5)
    for _ in STYLES:
        page.deliver(frame, frame, arrival(frame))
    return page


def _request(line: str, more: str = "") -> bytes:
    own = urlsplit(_page().address).netloc
    headers = f"Host: {own}\r\nOrigin: http://{own}\r\nSec-Fetch-Site: same-origin\r\n{more}"
    return f"{line} HTTP/1.1\r\n{headers}\r\n".encode()
