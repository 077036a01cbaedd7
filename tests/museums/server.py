"""Plays the hosts of every source on one port of this machine, asked as a proxy is."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from aiohttp import web

from scrapers.items import LABELS, Label
from scrapers.sample import HOST as SAMPLE_HOST
from tests.museums import aic, cleveland, commons, inaturalist, met, nga
from tests.museums.answers import MISSING, Answer, Asked, jpeg_answer, json_answer
from tests.museums.collection import Collection, Piece, Sizes
from tests.museums.faults import Fault, Faults, hamper, spoil
from tests.museums.jpegs import Format

ROOT = Path(__file__).parents[2]
SOURCES = {
    "cleveland": (cleveland.HOSTS, cleveland.answer),
    "nga": (nga.HOSTS, nga.answer),
    "met": (met.HOSTS, met.answer),
    "aic": (aic.HOSTS, aic.answer),
    "commons": (commons.HOSTS, commons.answer),
    "inaturalist": (inaturalist.HOSTS, inaturalist.answer),
}
BENCH = Format(896, 5, 8)
REMEMBERED = 50_000
"""Visits; older ones are counted only."""

SETTLING_S = 0.01
"""After so long, connections that are just opened or closed are so for the event loop as well."""


@dataclass(frozen=True)
class Visit:
    """A request that a host got."""

    host: str
    path: str
    query: str
    user_agent: str
    time_s: float


class Desk:
    """Takes each request to its host, and notes it."""

    def __init__(self, sizes: Sizes, faults: Sequence[Fault], *, tiny: bool, seed: int) -> None:
        self.faults = Faults(faults)
        self.tiny, self.seed = tiny, seed
        self.visits: deque[Visit] = deque(maxlen=REMEMBERED)
        self.requests: Counter[str] = Counter()
        self.open_now: Counter[str] = Counter()
        self.open_most: Counter[str] = Counter()
        self.hosts: dict[str, Callable[[Asked], Answer]] = {}
        for source, (hosts, answer) in SOURCES.items():
            collection = Collection(source, sizes, seed, tiny)
            self.hosts |= dict.fromkeys(hosts, partial(answer, collection=collection))

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        asked = Asked.of(request.raw_path, request.headers.get("User-Agent", ""))
        if asked.path == "/notes" and not asked.host:
            return await _send(request, self._notes())
        host = asked.host
        self.visits.append(Visit(host, asked.path, asked.query_string, asked.user_agent, time.monotonic()))
        self.requests[host] += 1
        self.open_now[host] += 1
        self.open_most[host] = max(self.open_most[host], self.open_now[host])
        try:
            answer = self.hosts.get(host, self._bench)(asked)
            if fault := self.faults.find(asked):
                answer = spoil(fault, asked, answer)
                await hamper(fault, request, answer)
            return await _send(request, answer)
        finally:
            self.open_now[host] -= 1

    def _bench(self, asked: Asked) -> Answer:
        number = asked.path.removeprefix("/bench/").removesuffix(".jpg")
        if asked.host not in ("", SAMPLE_HOST) or not number.isdecimal():
            return MISSING
        piece = Piece("bench", LABELS[int(number) % len(LABELS)], int(number), self.seed)
        return jpeg_answer(BENCH.jpeg(piece, tiny=self.tiny))

    def _notes(self) -> Answer:
        return json_answer(
            {
                "visits": [astuple(visit) for visit in self.visits],
                "requests": self.requests,
                "open_most": self.open_most,
                "troubles": self.faults.met,
            }
        )


async def _send(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    if isinstance(answer.body, bytes):
        body, status = answer.body, answer.status
        if "Range" in request.headers and status == 200:
            first, end, _ = request.http_range.indices(len(body))
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
            body, status = body[first:end], 206
        whole = web.Response(body=body, status=status, headers=headers)
        await whole.prepare(request)
        await whole.write_eof()
        return whole
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    for part in answer.body:
        await response.write(part)
    await response.write_eof()
    return response


class Museums:
    """The stand-ins while they are open."""

    def __init__(self, address: str, sizes: Sizes) -> None:
        self.address = address
        """Where requests go, as to a proxy."""
        self._sizes = sizes

    @property
    def visits(self) -> list[Visit]:
        """The requests so far; the last of them, if there were very many."""
        return [Visit(*visit) for visit in self._notes()["visits"]]

    @property
    def requests(self) -> Counter[str]:
        """How many requests each host got; the server itself has no name."""
        return Counter(self._notes()["requests"])

    @property
    def open_most(self) -> Counter[str]:
        """How many requests to each host were open at the same time, at most."""
        return Counter(self._notes()["open_most"])

    @property
    def troubles(self) -> Counter[str]:
        """How often each trouble was met."""
        return Counter(self._notes()["troubles"])

    def expected(self, source: str, label: Label) -> int:
        """The number of free works that a source offers."""
        return self._sizes.expected(source, label)

    def image_list(self, count: int = 20_000) -> Iterator[str]:
        """Addresses of images, for a downloader that knows no proxy."""
        return (f"{self.address}/bench/{number}.jpg" for number in range(count))

    def _notes(self) -> dict[str, Any]:
        with build_opener(ProxyHandler({})).open(f"{self.address}/notes") as answer:
            notes: dict[str, Any] = json.load(answer)
        return notes


@contextmanager
def open_museums(
    sizes: Sizes, faults: Sequence[Fault] = (), *, tiny: bool = False, seed: int = 1, process: bool = False
) -> Iterator[Museums]:
    """Open the stand-ins in a thread of this process, or in a process of their own.

    ``tiny`` images are quickly made, and smaller than the sources say.
    """
    with (_process if process else _thread)(sizes, faults, tiny, seed) as address:
        yield Museums(address, sizes)


@contextmanager
def _thread(sizes: Sizes, faults: Sequence[Fault], tiny: bool, seed: int) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_started(Desk(sizes, faults, tiny=tiny, seed=seed)), loop).result()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(_close(runner), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _started(desk: Desk) -> web.ServerRunner:
    server = web.Server(desk.serve, handler_cancellation=True, max_line_size=2**16, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    return runner


async def _close(runner: web.ServerRunner) -> None:
    assert runner.server
    for site in runner.sites:
        await site.stop()
    await asyncio.sleep(SETTLING_S)
    for connection in runner.server.connections:
        if connection.transport:
            connection.transport.abort()  # it may be in the middle of an answer that never ends
    await runner.cleanup()
    await asyncio.sleep(SETTLING_S)


@contextmanager
def _process(sizes: Sizes, faults: Sequence[Fault], tiny: bool, seed: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.museums", "--seed", str(seed), *(["--tiny"] if tiny else [])]
    command += ["--sizes", json.dumps(asdict(sizes)), "--faults", json.dumps([asdict(fault) for fault in faults])]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        address = server.stdout.readline().strip()
        if not address:
            raise RuntimeError("the stand-ins did not open")
        yield address
        server.stdin.close()
