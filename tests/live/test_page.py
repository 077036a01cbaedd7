import asyncio
import io
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from PIL import Image

from pipeline.console import UserError
from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.fast.painter import torch_painter
from pipeline.live import page as module
from pipeline.live.page import Page
from pipeline.live.painting import Mix
from tests.live.streams import arrival, plain

STYLES = ("dots", "waves")
MIX = Mix({"dots": 1.0}, 1.0)


def opened(host: str = "127.0.0.1", port: int = 0) -> Page:
    network = relax(constrain(FastNetwork(Widths(fine=4, coarse=6, blocks=1), STYLES)))
    return Page(host, port, "camera:0", torch_painter(network, torch.device("cpu")), MIX)


@pytest.fixture
def page() -> Iterator[Page]:
    with opened() as page:
        yield page


def ask(page: Page, path: str = "", method: str = "GET", **options: Any) -> tuple[int, str, dict[str, str]]:
    async def answered() -> tuple[int, str, dict[str, str]]:
        async with ClientSession() as session, session.request(method, page.address + path, **options) as answer:
            return answer.status, await answer.text(errors="replace"), dict(answer.headers)

    return asyncio.run(answered())


def with_viewers(page: Page, count: int, look: Callable[[list[ClientWebSocketResponse]], Awaitable[Any]]) -> Any:
    """What ``look`` returns of so many viewers that are connected."""

    async def looked() -> Any:
        async with ClientSession() as session:
            viewers = [await session.ws_connect(page.address + "watch", max_msg_size=0) for _ in range(count)]
            try:
                return await look(viewers)
            finally:
                for viewer in viewers:
                    await viewer.close()

    return asyncio.run(looked())


async def next_frame(viewer: ClientWebSocketResponse) -> tuple[dict[str, Any], "np.ndarray[Any, Any]"]:
    """The state that was told last, and the JPEG."""
    state: dict[str, Any] = {}
    while True:
        message = await asyncio.wait_for(viewer.receive(), 5)
        if message.type is WSMsgType.TEXT:
            state = json.loads(message.data)
        else:
            return state, np.asarray(Image.open(io.BytesIO(message.data)))


def show(page: Page, level: int, height: int = 48, width: int = 64) -> None:
    original = plain(255 - level, height, width)
    page.deliver(plain(level, height, width), original, arrival(original))


def test_the_page_is_whole_and_allows_nothing_from_elsewhere(page: Page) -> None:
    status, html, headers = ask(page)
    assert status == 200
    assert 'src="http' not in html
    assert 'href="http' not in html
    nonce = html.partition('<script nonce="')[2].partition('"')[0]
    assert len(nonce) > 16
    assert f"script-src 'nonce-{nonce}'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert nonce not in ask(page)[1]


def test_a_viewer_sees_frames_of_any_size_with_their_state(page: Page) -> None:
    async def look(viewers: list[ClientWebSocketResponse]) -> None:
        for level, (height, width) in ((50, (48, 64)), (200, (96, 32))):
            show(page, level, height, width)
            state, pixels = await next_frame(viewers[0])
            await viewers[0].send_str("shown")
            assert pixels.shape == (2 * height, width, 3)
            assert abs(pixels[: height - 8].mean() - level) < 3
            assert abs(pixels[height + 8 :].mean() - (255 - level)) < 3
            assert not state["stalled"]
        assert state["weights"] == {"dots": 1.0, "waves": 0.0}
        assert state["strength"] == 1.0
        assert state["source"] == "camera:0"

    with_viewers(page, 1, look)


def test_latency_is_from_arrival_to_display(page: Page) -> None:
    async def look(viewers: list[ClientWebSocketResponse]) -> dict[str, Any]:
        for _ in range(5):
            show(page, 1)
            await next_frame(viewers[0])
            await asyncio.sleep(0.1)
            await viewers[0].send_str("shown")
            await asyncio.sleep(0.02)
        show(page, 1)
        return (await next_frame(viewers[0]))[0]

    state = with_viewers(page, 1, look)
    assert 100 <= state["latency_ms"] < 300
    assert 2 < state["fps"] < 9


def test_a_slow_viewer_sees_the_newest_frame_and_holds_up_nobody(page: Page) -> None:
    async def look(viewers: list[ClientWebSocketResponse]) -> float:
        slow, quick = viewers
        show(page, 0)
        await next_frame(slow)
        slowest_s = 0.0
        for number in range(1, 26):
            began_s = time.monotonic()
            show(page, 10 * number)
            while abs((await next_frame(quick))[1][:40].mean() - 10 * number) > 4:
                await quick.send_str("shown")
            await quick.send_str("shown")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        await slow.send_str("shown")
        _, pixels = await next_frame(slow)
        assert abs(pixels[:40].mean() - 250) < 4
        return slowest_s

    assert with_viewers(page, 2, look) < 1


def test_nothing_is_wanted_while_nobody_looks(page: Page) -> None:
    async def look(_: list[ClientWebSocketResponse]) -> bool:
        return page.wanted

    assert not page.wanted
    assert with_viewers(page, 1, look)
    deadline_s = time.monotonic() + 5
    while page.wanted and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not page.wanted


def test_viewers_are_told_when_the_source_stalls(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALLED_S", 0.1)

    async def look(viewers: list[ClientWebSocketResponse]) -> bool:
        while True:
            message = await asyncio.wait_for(viewers[0].receive(), 5)
            if message.type is WSMsgType.TEXT and json.loads(message.data)["stalled"]:
                return True

    assert with_viewers(page, 1, look)


def test_there_is_an_end_to_viewers(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VIEWERS", 2)

    async def look(_: list[ClientWebSocketResponse]) -> None:
        async with ClientSession() as session:
            with pytest.raises(WSServerHandshakeError, match="503"):
                await session.ws_connect(page.address + "watch")

    with_viewers(page, 2, look)


def test_viewers_who_say_too_much_are_left(page: Page) -> None:
    async def look(viewers: list[ClientWebSocketResponse]) -> bool:
        await viewers[0].send_str("x" * 10_000)
        while True:
            message = await asyncio.wait_for(viewers[0].receive(), 5)
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                return True

    assert with_viewers(page, 1, look)


def test_what_is_chosen_is_painted(page: Page) -> None:
    status, _, _ = ask(page, "mix", "PUT", json={"weights": {"dots": 0.25, "waves": 1}, "strength": 0.5})
    assert status == 204
    assert page.mix == Mix({"dots": 0.25, "waves": 1.0}, 0.5)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"weights": {"other": 1}, "strength": 1}}, 400),
        ({"json": {"weights": {"dots": 0}, "strength": 1}}, 400),
        ({"json": {"weights": {}, "strength": 1}}, 400),
        ({"json": {"weights": {"dots": 1e-60}, "strength": 1}}, 400),
        ({"json": {"weights": {"dots": 2}, "strength": 1}}, 400),
        ({"json": {"weights": {"dots": "1"}, "strength": 1}}, 400),
        ({"json": {"weights": {"dots": 1}, "strength": -1}}, 400),
        ({"json": {"weights": {"dots": 1}, "strength": 1, "more": 1}}, 400),
        ({"data": b'{"weights": {"dots": NaN}, "strength": 1}', "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[" * 10_000, "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b'{"weights": {"dots": 1}, "strength": 1}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": b" " * 20_000, "headers": {"Content-Type": "application/json"}}, 413),
    ],
)
def test_nonsense_is_refused(page: Page, options: dict[str, Any], status: int) -> None:
    assert ask(page, "mix", "PUT", **options)[0] == status
    assert page.mix is MIX


def test_other_pages_and_other_names_are_refused(page: Page) -> None:
    port = page.address.rpartition(":")[2].strip("/")
    body = {"json": {"weights": {"waves": 1}, "strength": 1}}
    refused = [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for headers in refused:
        assert ask(page, headers=headers)[0] in (400, 403), headers
        assert ask(page, "mix", "PUT", headers=headers, **body)[0] in (400, 403), headers
    assert page.mix is MIX
    for headers in (
        {"Host": f"LOCALHOST:{port}"},
        {"Host": "[::1]:1"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        assert ask(page, headers=headers)[0] == 200
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert ask(page, "mix", "PUT", headers=own, **body)[0] == 204


def test_other_pages_cannot_watch(page: Page) -> None:
    async def watch() -> None:
        async with ClientSession() as session:
            with pytest.raises(WSServerHandshakeError, match="403"):
                await session.ws_connect(page.address + "watch", origin="http://evil.example")

    asyncio.run(watch())
    assert not page.wanted


def test_every_style_has_a_picture_that_is_renewed(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(page, "styles/dots.jpg")[0] == 404
    for _ in range(2):
        show(page, 5)
    status, _, headers = ask(page, "styles/dots.jpg")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert ask(page, "styles/waves.jpg")[0] == 200
    assert ask(page, "styles/other.jpg")[0] == 404
    assert ask(page, "styles/..%2f..%2fpage.html")[0] == 404

    async def versions(viewers: list[ClientWebSocketResponse]) -> Any:
        return (await next_frame(viewers[0]))[0]["previews"]

    show(page, 5)
    assert with_viewers(page, 1, versions) == {"dots": 1, "waves": 1}
    monkeypatch.setattr(module, "PREVIEW_EVERY_S", 0.0)
    show(page, 5)
    assert with_viewers(page, 1, versions) == {"dots": 2, "waves": 1}


def test_a_frame_that_waited_for_viewers_is_not_late(page: Page) -> None:
    show(page, 5)
    time.sleep(0.3)

    async def look(viewers: list[ClientWebSocketResponse]) -> dict[str, Any]:
        state: dict[str, Any] = {}
        for _ in range(4):
            state, _ = await next_frame(viewers[0])
            await viewers[0].send_str("shown")
            show(page, 5)
        return state

    assert with_viewers(page, 1, look)["latency_ms"] < 200


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127.0.0.1, port {port} .*; choose --host or --port"), opened(port=port):
            pass


def test_viewers_are_let_go_at_the_end() -> None:
    with opened() as page:
        loop = asyncio.new_event_loop()
        session = loop.run_until_complete(_session())
        viewer = loop.run_until_complete(session.ws_connect(page.address + "watch"))
    message = loop.run_until_complete(asyncio.wait_for(viewer.receive(), 5))
    while message.type is WSMsgType.TEXT:
        message = loop.run_until_complete(asyncio.wait_for(viewer.receive(), 5))
    assert message.type is WSMsgType.CLOSE
    loop.run_until_complete(session.close())
    loop.close()


async def _session() -> ClientSession:
    return ClientSession()


@pytest.mark.parametrize("key", [b"\xff", b"AAAA", b""])
def test_a_viewer_of_another_protocol_is_refused(page: Page, key: bytes, caplog: pytest.LogCaptureFixture) -> None:
    host = page.address.removeprefix("http://").strip("/")
    with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), 5) as connection:
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        head = f"GET /watch HTTP/1.1\r\nHost: {host}\r\n{upgrade}"
        connection.sendall(head.encode() + key + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert not page.wanted
    assert not caplog.records
