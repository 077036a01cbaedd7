"""A small museum for tests: it takes notes of who asks for what, and misbehaves where it is told to."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from scrapers.sample import photographs
from scrapers.sample.photographs import Photograph
from scrapers.sample.server import MuseumHandler, MuseumServer
from scrapers.sample.works import PLATES, collect

NAMES = (*(name for name, _ in PLATES.values()), "garden", "harbour")


def photograph(name: str, width_px: int = 300, height_px: int = 130, grain_px: int = 8) -> Photograph:
    """A photograph of soft coloured clouds; another one for every name."""
    rng = np.random.default_rng(list(name.encode()))
    noise = rng.integers(0, 256, (height_px // grain_px, width_px // grain_px, 3)).astype(np.uint8)
    pixels = np.asarray(cv2.resize(noise, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8)
    return Photograph(name, name, f"The {name}", "Somebody", "CC0-1.0", "https://example.org/cc0", pixels)


def pretend_downloads(folder: Path) -> None:
    """Put generated files there, under the names that the museum looks for, so that it downloads nothing."""
    folder.mkdir(parents=True)
    for index, name in enumerate(photographs.STILLS):
        cv2.imwrite(str(folder / name), photograph(f"still {index}", 300, 260).pixels)
    for clip in {clip for clip, *_ in photographs.FRAMES}:
        with av.open(folder / clip, "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            pixels = photograph(clip, 64, 48).pixels
            for _ in range(1 + max(number for name, number, *_ in photographs.FRAMES if name == clip)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())


@dataclass(frozen=True)
class Visit:
    """A request that the museum got."""

    target: str
    user_agent: str
    time_s: float

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.target).path


Fault = Callable[["SmallHandler"], None]


class SmallHandler(MuseumHandler):
    """Images are stand-ins, quickly made: a crawl looks at no more than their first byte."""

    server: "SmallMuseum"

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Note the visit, wait if the image is a slow one, and answer."""
        with self.server.noting():
            self.server.visits.append(Visit(self.path, self.headers["User-Agent"], time.monotonic()))
            path = urlsplit(self.path).path
            if path.startswith("/images/"):
                time.sleep(self.server.delay_s)
            if path in self.server.faults:
                self.server.faults[path](self)
            elif path.startswith("/images/"):
                self.send_bytes(b"\xff\xd8" + path.encode() * 50)
            else:
                super().do_GET()

    def send_bytes(
        self, body: bytes, status: int = 200, length: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send ``body``, and claim ``length`` bytes of it."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None


class SmallMuseum(MuseumServer):
    """A museum of at most ``per_class`` works of each class."""

    def __init__(self, per_class: int | None = None) -> None:
        super().__init__(*collect([photograph(name) for name in NAMES], per_class))
        self.RequestHandlerClass = SmallHandler
        self.visits: list[Visit] = []
        self.faults: dict[str, Fault] = {}
        self.delay_s = 0.0
        self.open_now = self.open_most = 0
        self._lock = threading.Lock()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Count the requests that are answered at the same time."""
        with self._lock:
            self.open_now += 1
            self.open_most = max(self.open_most, self.open_now)
        try:
            yield
        finally:
            with self._lock:
                self.open_now -= 1

    @property
    def images_asked(self) -> Counter[str]:
        """How often each image was asked for."""
        return Counter(visit.path for visit in self.visits if visit.path.startswith("/images/"))


@contextmanager
def small_museum(per_class: int | None = None) -> Iterator[SmallMuseum]:
    """Open a museum in threads of this process."""
    with SmallMuseum(per_class) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
