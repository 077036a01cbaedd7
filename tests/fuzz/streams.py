"""What a server of live pictures sends: answers of HTTP and RTSP, and what follows them."""

import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import cast

from pipeline.fast.painter import FastPainter
from pipeline.live.painting import Mix, paint_stream
from pipeline.live.reader import Arrival
from pipeline.live.sources import connected, parse_source
from pipeline.motion import Frame
from tests.clips import make_clip
from tests.live.rtsp import SDP, packets
from tests.live.streams import part
from tests.pictures import noise

TIMEOUT_S = 0.5
MOST_FRAMES = 20
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npiece.ts\n#EXTINF:1,\npiece.ts\n#EXT-X-ENDLIST\n"
RTSP = (
    ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
    ("Content-Type: application/sdp\r\n", SDP),
    ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
    ("", ""),
)


class Unpainted:
    """Takes the place of a painter."""

    def mix(self, weights: Mapping[str, float], strength: float) -> None:
        pass

    def paint(self, frame: Frame) -> Frame:
        return frame


class Nowhere:
    wanted = True

    def deliver(self, painted: Frame, original: Frame, arrival: Arrival) -> None:
        pass


def originals(folder: Path) -> list[bytes]:
    pictures = [noise(48, 64, 3, seed=number) for number in range(5)]
    piece = make_clip(folder / "piece.ts", pictures).read_bytes()
    clip = make_clip(folder / "clip.mp4", pictures, movflags="faststart").read_bytes()
    return [
        _http("multipart/x-mixed-replace; boundary=frame", b"".join(part(level) for level in range(5))),
        _http("video/mp2t", piece),
        _http("video/mp4", clip),
        _http("application/vnd.apple.mpegurl", PLAYLIST.encode()),
        _rtsp(),
    ]


def read(path: Path) -> None:
    with _server(path) as port:
        scheme = "rtsp" if path.read_bytes().startswith(b"RTSP") else "http"
        arrivals = _arrivals(f"{scheme}://127.0.0.1:{port}/live")
        painter = cast(FastPainter, Unpainted())
        paint_stream(arrivals, painter, lambda: Mix({}, 1.0), 64, Nowhere(), threading.Event())


def _arrivals(address: str) -> Iterator[Arrival]:
    with connected(parse_source(address), TIMEOUT_S) as connection:
        for frame, shown_s in islice(connection.frames, MOST_FRAMES):
            yield Arrival(frame, connection.pixel_aspect, shown_s, 0.0)


@contextmanager
def _server(path: Path) -> Iterator[int]:
    """Answers every connection with the file, or with the piece that a playlist names."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                asked = self.request.recv(4096)
                piece = path.with_name("piece.ts").read_bytes()
                self.request.sendall(_http("video/mp2t", piece) if b"piece.ts" in asked else path.read_bytes())
                self.request.shutdown(socket.SHUT_WR)
                while self.request.recv(4096):  # closed with something unread, what was sent would be lost
                    pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _http(content_type: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _rtsp() -> bytes:
    """All that a camera answers, sent at once."""
    answers = [
        f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        for number, (headers, body) in enumerate(RTSP, start=1)
    ]
    return "".join(answers).encode() + b"".join(packets(MOST_FRAMES))
