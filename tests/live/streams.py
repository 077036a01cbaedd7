"""Live sources for tests: servers on loopback that stall, change and vanish."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from pipeline.fast.files import save_fast
from pipeline.fast.network import FastNetwork, Widths, constrain, relax
from pipeline.live.reader import Arrival
from tests.pictures import encoded

Send = Callable[[bytes], None]
Serve = Callable[[Send], None]
BOUNDARY = b"--frame\r\n"


def part(level: int, height: int = 48, width: int = 64) -> bytes:
    """A grey picture as a part of a multipart stream."""
    jpeg = encoded(Image.new("RGB", (width, height), (level,) * 3), "JPEG")
    return BOUNDARY + b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"


@contextmanager
def served(
    serve: Serve, port: int = 0, content_type: str = "multipart/x-mixed-replace; boundary=frame"
) -> Iterator[str]:
    """The address of an HTTP server that answers each request with what ``serve`` sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            with suppress(OSError):  # nobody listens any more
                serve(self._send)

        def _send(self, data: bytes) -> None:
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler, port) as address:
        yield f"http://user:secret@{address}/live?key=secret"


@contextmanager
def folder_served(folder: Path, certificate: Path | None = None) -> Iterator[str]:
    """The address of an HTTP server of the files in ``folder``; of HTTPS with a ``certificate`` and its key."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler, 0, certificate) as address:
        yield f"https://{address}" if certificate else f"http://{address}"


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], port: int, certificate: Path | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # some will not trust it
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forever(send: Send) -> None:
    """A picture every 10 ms, each lighter than the last."""
    for number in range(1000):
        send(part(number % 250))
        time.sleep(0.01)


def arrival(pixels: NDArray[np.uint8], shown_s: Fraction | float = 0) -> Arrival:
    frame = VideoFrame.from_ndarray(pixels, format="rgb24")
    return Arrival(frame, Fraction(1), Fraction(shown_s), time.perf_counter())


def write_network(path: Path, names: tuple[str, ...] = ("dots", "waves")) -> None:
    """A small network of random weights."""
    network = relax(constrain(FastNetwork(Widths(fine=4, coarse=6, blocks=1), names)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_fast(path, network)


def plain(level: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)
