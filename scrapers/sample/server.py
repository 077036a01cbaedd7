"""The sample museum's web site: a paged JSON interface of the shape of the real museums', and the images."""

import json
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from scrapers.sample import HOST
from scrapers.sample.works import Exhibit

LARGEST_PAGE = 100
CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif"}


class MuseumServer(ThreadingHTTPServer):
    """Serves works on a free port of the loopback interface."""

    daemon_threads = True

    def __init__(self, paintings: Sequence[Exhibit], photographs: Sequence[Exhibit]) -> None:
        super().__init__(("127.0.0.1", 0), MuseumHandler)
        # The calls that lay a stroke are too short to share two cores: in parallel they only wait for each other.
        self.easel = threading.Lock()
        self.by_type = {"Painting": paintings, "Photograph": photographs}
        self.by_id = {work.id: work for work in [*paintings, *photographs]}
        self.by_file = {work.file_name: work for work in self.by_id.values()}

    def handle_error(self, request: object, client_address: object) -> None:
        """Report what is wrong here; a visitor may well break off."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def address(self) -> str:
        """Where it listens, as an address without a path."""
        return f"http://127.0.0.1:{self.server_port}"


class MuseumHandler(BaseHTTPRequestHandler):
    """``/api/artworks/?type=&skip=&limit=``, ``/api/artworks/ID``, ``/images/FILE`` and ``/robots.txt``."""

    server: MuseumServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request; as to a proxy, its target may be a whole address."""
        target = urlsplit(self.path)
        folder, _, name = target.path.rpartition("/")
        if target.path == "/robots.txt":
            self._send("text/plain", b"User-agent: *\nAllow: /\n")
        elif target.path == "/api/artworks/":
            self._send_page(parse_qs(target.query))
        elif folder == "/api/artworks" and name in self.server.by_id:
            self._send_json({"data": record(self.server.by_id[name])})
        elif folder == "/images" and name in self.server.by_file:
            work = self.server.by_file[name]
            with self.server.easel:
                image = work.image()
            self._send(CONTENT_TYPES[name.rpartition(".")[2]], image)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_page(self, query: dict[str, list[str]]) -> None:
        try:
            works = self.server.by_type[query["type"][0]]
            skip, limit = (int(query.get(name, [default])[0]) for name, default in (("skip", "0"), ("limit", "50")))
        except (KeyError, ValueError):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        skip, limit = max(skip, 0), min(max(limit, 1), LARGEST_PAGE)
        page = [record(work) for work in works[skip : skip + limit]]
        self._send_json({"info": {"total": len(works), "skip": skip, "limit": limit}, "data": page})

    def _send_json(self, answer: object) -> None:
        self._send("application/json", json.dumps(answer, ensure_ascii=False).encode())

    def _send(self, content_type: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the terminal to the pipeline."""


def record(work: Exhibit) -> dict[str, object]:
    """What the museum tells of a work."""
    source = work.photograph
    title, creator = source.title, source.creator
    if work.manner:
        title, creator = f"{title}, {work.manner.replace('-', ' ')} manner", f"Strokes, after {creator}"
    return {
        "id": work.id,
        "type": "Painting" if work.manner else "Photograph",
        "title": title,
        "creators": [{"description": creator}],
        "share_license": {"name": source.licence, "url": source.licence_url},
        "after": source.group,
        "url": f"http://{HOST}/api/artworks/{work.id}",
        "images": {
            "web": {"url": f"http://{HOST}/images/{work.file_name}", "width": work.width_px, "height": work.height_px}
        },
    }
