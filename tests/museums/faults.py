"""Trouble to order: which requests meet it, and what they get instead of an answer."""

import asyncio
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Literal, get_args

from aiohttp import web

from tests.museums.answers import MISSING, Answer, Asked, text_answer
from tests.museums.collection import draw

Answered = Literal[
    "retry-after-seconds",
    "retry-after-date",
    "forbidden",
    "server-error",
    "gone",
    "html",
    "pdf",
    "empty",
    "redirect-within",
    "redirect-loop",
    "redirect-private",
    "redirect-elsewhere",
    "robots-forbid",
    "robots-delay",
    "noai",
    "googlebot-noindex",
]
"""Troubles that are an answer, though not the one hoped for."""
Broken = Literal["late", "reset", "stall", "drip", "truncated", "endless"]
"""Troubles on the way."""
PRIVATE = ("http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:22/", "https://10.0.0.1/")
BURST_S = 10.0


@dataclass(frozen=True)
class Fault:
    """A trouble, and the requests that meet it; ``host`` and ``path`` are patterns of :mod:`fnmatch`."""

    trouble: Answered | Broken
    host: str = "*"
    path: str = "*"
    share: float = 1.0
    """Of the addresses that fit, chosen by their hash."""
    first: int | None = None
    """Only the first requests of each address; None: all."""
    burst: int | None = None
    """Only while the host got more requests than these in ``BURST_S``; None: always."""
    seconds: float = 1.0
    """What Retry-After or Crawl-delay says, how late an answer is, or the time between two bytes that drip."""

    def concerns(self, host: str, path: str) -> bool:
        """Whether requests of an address can meet it."""
        if not (fnmatchcase(host, self.host) and fnmatchcase(path, self.path)):
            return False
        return draw(self.trouble, host, path) < self.share * 2**64


class Faults:
    """What is ordered; the first fault that fits a request is the one it meets."""

    def __init__(self, ordered: Iterable[Fault]) -> None:
        self.ordered = tuple(ordered)
        self.met: Counter[str] = Counter()
        """How often each trouble was met."""
        self._requests: Counter[tuple[Fault, str]] = Counter()
        self._times: dict[tuple[Fault, str], deque[float]] = {}

    def find(self, asked: Asked) -> Fault | None:
        """The fault that a request meets."""
        for fault in self.ordered:
            if fault.concerns(asked.host, asked.path) and self._due(fault, asked):
                self.met[fault.trouble] += 1
                return fault
        return None

    def _due(self, fault: Fault, asked: Asked) -> bool:
        if fault.trouble == "redirect-within" and "again" in asked.query:
            return False
        if fault.burst is not None:
            times = self._times.setdefault((fault, asked.host), deque(maxlen=fault.burst + 1))
            times.append(time.monotonic())
            return len(times) > fault.burst and times[-1] - times[0] < BURST_S
        if fault.first is None:
            return True
        self._requests[fault, asked.target] += 1
        return self._requests[fault, asked.target] <= fault.first


def spoil(fault: Fault, asked: Asked, answer: Answer) -> Answer:
    """The answer of a request that meets a fault."""
    if fault.trouble in get_args(Broken):
        return answer
    moved = {
        "redirect-within": f"https://{asked.host}{asked.path}?again=1",
        "redirect-loop": f"https://{asked.host}{asked.path}",
        "redirect-private": PRIVATE[draw(asked.path) % len(PRIVATE)],
        "redirect-elsewhere": "http://evil.example" + asked.path,
    }
    if fault.trouble in moved:
        return Answer(b"", status=302, headers={"Location": moved[fault.trouble]})
    page = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Incident 7-1</body></html>"
    later = formatdate(time.time() + fault.seconds, usegmt=True)
    answers = {
        "retry-after-seconds": Answer(page, status=429, headers={"Retry-After": f"{fault.seconds:.0f}"}),
        "retry-after-date": Answer(page, status=429, headers={"Retry-After": later}),
        "forbidden": Answer(page, status=403),
        "server-error": Answer(page, status=500),
        "gone": MISSING,
        "html": Answer(page),
        "pdf": Answer(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + 50 * page, "application/pdf"),
        "empty": replace(answer, body=b""),
        "robots-forbid": text_answer("User-agent: *\nDisallow: /\n"),
        "robots-delay": text_answer(f"User-agent: *\nCrawl-delay: {fault.seconds:g}\nDisallow: /admin/\n"),
        "noai": replace(answer, headers={"X-Robots-Tag": "noai, noimageai"}),
        "googlebot-noindex": replace(answer, headers={"X-Robots-Tag": "googlebot: noindex"}),
    }
    return answers[fault.trouble]


async def hamper(fault: Fault, request: web.BaseRequest, answer: Answer) -> None:
    """Let a request wait, or send a part of its answer and never the rest."""
    if fault.trouble == "late":
        await asyncio.sleep(fault.seconds)
    elif fault.trouble in get_args(Broken):
        if fault.trouble == "reset":
            _close(request, reset=True)
        elif fault.trouble != "stall":
            await _send_broken(fault, request, answer)
        await asyncio.Event().wait()  # until the other side gives up, which ends this task


async def _send_broken(fault: Fault, request: web.BaseRequest, answer: Answer) -> None:
    body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    length = {} if fault.trouble == "endless" else {"Content-Length": str(len(body))}
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type, **length})
    await response.prepare(request)
    if fault.trouble == "truncated":
        await response.write(body[: len(body) // 2])
        _close(request, reset=False)
        return
    for place in range(len(body) if fault.trouble == "drip" else 0):
        await response.write(body[place : place + 1])
        await asyncio.sleep(fault.seconds)
    while fault.trouble == "endless":
        await response.write(body)


def _close(request: web.BaseRequest, *, reset: bool) -> None:
    assert request.transport
    if not reset:
        request.transport.close()
        return
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


MIXTURE = (
    Fault("retry-after-seconds", path="*.jp*g", share=0.02, first=1),
    Fault("retry-after-date", path="*.jp*g", share=0.005, first=1, seconds=2.0),
    Fault("server-error", path="*.jp*g", share=0.02, first=1),
    Fault("reset", path="*.jp*g", share=0.02, first=1),
    Fault("truncated", path="*.jp*g", share=0.01, first=1),
    Fault("stall", path="*.jp*g", share=0.0005, first=1),
    Fault("gone", path="*.jp*g", share=0.01),
    Fault("forbidden", path="*.jp*g", share=0.002),
    Fault("html", path="*.jp*g", share=0.005),
    Fault("pdf", path="*.jp*g", share=0.002),
    Fault("redirect-elsewhere", path="*.jp*g", share=0.002),
    Fault("redirect-private", path="*.jp*g", share=0.002),
    Fault("redirect-within", path="*.jp*g", share=0.01),
    Fault("noai", path="*.jp*g", share=0.002),
)
"""A bad day of all image hosts: most trouble is gone at the second try."""
