import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pipeline.retraining.webhook import WEBHOOK, notify


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted; answers with the number that the path ends in, and 302 leads elsewhere."""

    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(int(self.path[-3:]))
        self.send_header("Location", "/secret/elsewhere/200")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[str]:
    """The address of a webhook, a number left to add."""
    Hook.bodies = []
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret/"
        server.shutdown()


def test_a_failure_is_told(hook: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv(WEBHOOK, f"{hook}200")
    notify("the disk is full", exit_status=1, step="reproduce")
    [body] = Hook.bodies
    assert body["text"].endswith(": the disk is full")
    assert (body["exit_status"], body["step"]) == (1, "reproduce")
    assert not caplog.messages


@pytest.mark.parametrize("status", [302, 404, 500])
def test_one_that_refuses_is_logged_without_its_address(
    hook: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level("DEBUG", "pipeline")
    monkeypatch.setenv(WEBHOOK, f"{hook}{status}")
    notify("the disk is full")
    assert len(Hook.bodies) == 1
    assert caplog.messages == [f"the webhook answered {status}"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/secret", "secret", "http://[secret", "file:///secret"])
def test_one_that_cannot_be_reached_is_logged_without_its_address(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(WEBHOOK, address)
    notify("the disk is full")
    assert len(caplog.messages) == 1
    assert "secret" not in caplog.text


def test_without_an_address_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    monkeypatch.setattr("requests.post", lambda *_, **__: pytest.fail("posted"))
    notify("the disk is full")
