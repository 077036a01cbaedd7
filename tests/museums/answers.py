"""What the stand-ins are asked, and what they answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request, in the form that a proxy gets: the address is whole."""

    target: str
    host: str
    path: str
    query_string: str
    user_agent: str

    @classmethod
    def of(cls, target: str, user_agent: str) -> Self:
        """Read the target of a request line; without a host it is meant for the server itself."""
        address = urlsplit(target)
        return cls(target, address.netloc, unquote(address.path), address.query, user_agent)

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters; the last of a name."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def integer(self, name: str, default: int) -> int:
        """A parameter that is a number, or else the default."""
        value = self.query.get(name, "")
        return int(value) if value.isdecimal() else default


@dataclass(frozen=True)
class Answer:
    """A whole body, or the parts of one that is too long to be held."""

    body: bytes | Iterator[bytes]
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(content: object, status: int = 200) -> Answer:
    """An answer of an interface."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Answer(body, "application/json; charset=utf-8", status)


def text_answer(text: str) -> Answer:
    """An answer such as robots.txt."""
    return Answer(text.encode(), "text/plain; charset=utf-8")


def jpeg_answer(body: bytes) -> Answer:
    """An image."""
    return Answer(body, "image/jpeg")


MISSING = Answer(b"<!DOCTYPE html><title>404 Not Found</title><h1>Not Found</h1>", status=404)
EVERYTHING_ALLOWED = "User-agent: *\nDisallow: /admin/\n"
