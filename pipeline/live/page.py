"""The web page that shows what is painted and from which it is steered: ``page.html``, served by aiohttp.

A viewer is sent a frame, as JPEG with the painted half above the original, when it has shown the last one: a slow one
sees fewer, and holds up nobody. Browsers are kept from speaking to this server in the name of other pages.
"""

import asyncio
import json
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Self

import cv2
import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.console import UserError
from pipeline.fast.painter import FastPainter
from pipeline.live.guard import guard
from pipeline.live.meter import Meter
from pipeline.live.painting import Mix
from pipeline.live.reader import Arrival
from pipeline.motion import Frame

PAGE = Path(__file__).with_name("page.html")
MOST_VIEWERS = 16
LARGEST_REQUEST_BYTES = 16_384
LEAST_WEIGHT = 0.001
"""Of all styles together; the painter could not tell much less from none."""
JPEG_QUALITY = 85
PREVIEW_WIDTH_PX = 192
PREVIEW_EVERY_S = 2.0
STALLED_S = 2.0
"""After which the page says that it waits for the source."""
HEARTBEAT_S = 20.0
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'nonce-{0}'; script-src 'nonce-{0}'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class WantedMix(BaseModel):
    """What the page asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    weights: dict[str, Annotated[float, Field(ge=0, le=1)]]
    strength: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class _Shown:
    number: int
    jpeg: bytes
    arrived_s: float


class Page:
    """Serves at ``host`` and ``port``. ``mix`` is what viewers want; ``previewer`` paints the pictures of styles."""

    def __init__(self, host: str, port: int, source: str, previewer: FastPainter, mix: Mix) -> None:
        self.mix = mix
        self.address = ""
        self._host, self._port, self._source = host, port, source
        self._previewer = previewer
        self._previews: dict[str, bytes] = {}
        self._preview_versions = dict.fromkeys(previewer.names, 0)
        self._preview_s = 0.0
        self._meter = Meter()
        self._viewers: set[web.WebSocketResponse] = set()
        self._latest: _Shown | None = None
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._fresh = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="page", daemon=True)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return bool(self._viewers)

    def latency(self) -> str:
        """From the arrival of a frame until a viewer has said that it is shown, over all viewers, in words."""
        return self._meter.latency()

    def __enter__(self) -> Self:
        """Raises :class:`UserError` if there can be no server at that address."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        except OSError as error:
            self.__exit__()
            where = f"{self._host}, port {self._port}"
            raise UserError(f"no page can be served at {where} ({error.strerror}); choose --host or --port") from None
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def deliver(self, painted: Frame, original: Frame, arrival: Arrival) -> None:
        """Show a frame to all who look."""
        self._preview(original)
        jpeg = _jpeg(np.concatenate((painted, original)))
        self._loop.call_soon_threadsafe(self._publish, _Shown(next(self._numbers), jpeg, arrival.arrived_s))

    def _preview(self, original: Frame) -> None:
        """Paint the frame, small, in the style whose picture is the oldest."""
        now_s = time.monotonic()
        name = min(self._preview_versions, key=lambda each: self._preview_versions[each])
        if self._preview_versions[name] and now_s - self._preview_s < PREVIEW_EVERY_S:
            return
        self._preview_s = now_s
        height = max(1, round(original.shape[0] * PREVIEW_WIDTH_PX / original.shape[1]))
        small = cv2.resize(original, (PREVIEW_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        self._previewer.mix({name: 1.0})
        self._previews[name] = _jpeg(self._previewer.paint(np.asarray(small, np.uint8)))
        self._preview_versions[name] += 1

    def _publish(self, shown: _Shown) -> None:
        self._latest = shown
        self._fresh.set()
        self._fresh = asyncio.Event()

    async def _serve(self) -> None:
        application = web.Application(client_max_size=LARGEST_REQUEST_BYTES, middlewares=[guard(self._host)])
        application.router.add_get("/", self._send_page)
        application.router.add_get("/watch", self._watch)
        application.router.add_get("/styles/{name}.jpg", self._send_preview)
        application.router.add_put("/mix", self._take_mix)
        application.on_shutdown.append(self._close_sockets)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.address = f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}/"

    async def _close_sockets(self, _: web.Application) -> None:
        for each in [viewer for viewer in self._viewers if viewer.prepared]:
            await each.close(code=WSCloseCode.GOING_AWAY)

    async def _send_page(self, _: web.Request) -> web.Response:
        nonce = secrets.token_urlsafe(16)
        html = PAGE.read_text(encoding="utf-8").replace("{{ nonce }}", nonce)
        policy = {"Content-Security-Policy": POLICY.format(nonce)}
        return web.Response(text=html, content_type="text/html", headers=HEADERS | policy)

    async def _send_preview(self, request: web.Request) -> web.Response:
        if (jpeg := self._previews.get(request.match_info["name"])) is None:
            raise web.HTTPNotFound
        return web.Response(body=jpeg, content_type="image/jpeg", headers=HEADERS)

    async def _take_mix(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # which a page of another origin may not send unasked
            raise web.HTTPUnsupportedMediaType
        try:
            wanted = WantedMix.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=str(error.errors()[0]["msg"])) from None
        if unknown := wanted.weights.keys() - set(self._previewer.names):
            raise web.HTTPBadRequest(text=f"{len(unknown)} of the styles are unknown")
        if sum(wanted.weights.values()) < LEAST_WEIGHT:
            raise web.HTTPBadRequest(text=f"the weights should come to {LEAST_WEIGHT} or more")
        self.mix = Mix(wanted.weights, wanted.strength)
        return web.Response(status=204, headers=HEADERS)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if len(self._viewers) >= MOST_VIEWERS:
            raise web.HTTPServiceUnavailable(text="too many viewers")
        watching = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=64, compress=False)
        self._viewers.add(watching)  # from now on, for the answer may arrive before the next line runs
        try:
            await watching.prepare(request)
            await self._serve_viewer(watching)
        except ValueError:  # in a header
            raise web.HTTPBadRequest(text="that is no viewer") from None
        except ConnectionError:  # who asked has gone
            pass
        finally:
            self._viewers.discard(watching)
        return watching

    async def _serve_viewer(self, watching: web.WebSocketResponse) -> None:
        confirmed = asyncio.Event()
        sender = asyncio.create_task(self._send_frames(watching, confirmed))
        try:
            async for message in watching:
                if message.type is not WSMsgType.TEXT:
                    break
                confirmed.set()
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sender

    async def _send_frames(self, watching: web.WebSocketResponse, confirmed: asyncio.Event) -> None:
        number, meter, joined_s = 0, Meter(), time.perf_counter()
        while True:
            fresh = self._fresh
            if self._latest is None or self._latest.number == number:
                with suppress(TimeoutError):
                    await asyncio.wait_for(fresh.wait(), STALLED_S)
            latest = self._latest
            await watching.send_str(self._state(meter, stalled=latest is None or latest.number == number))
            if latest is None or latest.number == number:
                continue
            number = latest.number
            confirmed.clear()
            await watching.send_bytes(latest.jpeg)
            await confirmed.wait()
            if latest.arrived_s > joined_s:  # the first may have waited for somebody to come
                meter.add(latest.arrived_s)
                self._meter.add(latest.arrived_s)

    def _state(self, meter: Meter, *, stalled: bool) -> str:
        rate, latency_s = meter.recent()
        weights = {name: self.mix.weights.get(name, 0.0) for name in self._previewer.names}
        return json.dumps(
            {
                "source": self._source,
                "stalled": stalled,
                "fps": round(rate, 1),
                "latency_ms": None if latency_s is None else round(1e3 * latency_s),
                "weights": weights,
                "strength": self.mix.strength,
                "previews": self._preview_versions,
            }
        )


def _jpeg(pixels: Frame) -> bytes:
    _, file = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    return file.tobytes()
