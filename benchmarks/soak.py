"""Hours of ``paint stream`` in little: a camera that stalls, vanishes and changes size, viewers who come and go.

    python -m benchmarks.soak --seconds 180

Starts ``paint stream --output page`` in the current folder, whose network it takes, and prints its resident memory at
the start, in the middle and at the end, and what it says of frames a second and latency. With ``--input clip.mp4`` that
is painted instead, for one viewer who stays: for figures of speed.
"""

import argparse
import asyncio
import io
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import cv2
import numpy as np
import psutil
from aiohttp import ClientConnectionError, ClientSession, WSMsgType
from PIL import Image

from benchmarks.usage import ROOT

WARM_UP_S = 15.0
"""Before the first look at the memory: what is allocated once is there."""
SIZES = ((640, 360), (480, 360), (1280, 720))
PICTURES = 50
RATE = 25
SIZE_S, LEAVE_S, STALL_S = 7.0, 23.0, 13.0
"""So long lasts a size, a connection, and the stall after every second one, which is longer than anybody waits."""
VISIT_S = 3.0


def main() -> None:
    """Run so long, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--input", help="what to paint instead of the camera")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with nullcontext(arguments.input) if arguments.input else _camera() as source:
        options = ["stream", "--input", source, "--port", str(port)]
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", *options]
        with psutil.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as painting:
            visitors = 0 if arguments.input else 2
            asyncio.run(_watch(f"http://127.0.0.1:{port}/", painting, arguments.seconds, visitors))
            painting.send_signal(signal.SIGINT)


async def _watch(page: str, painting: psutil.Popen, seconds: float, visitors: int) -> None:
    async with ClientSession() as session:
        await _started(session, page, painting)
        viewers = [asyncio.create_task(_look(session, page))]
        viewers += [asyncio.create_task(_visit(session, page)) for _ in range(visitors)]
        await asyncio.sleep(WARM_UP_S)
        for moment, share in (("start", 0.0), ("middle", 0.5), ("end", 0.5)):
            await asyncio.sleep(share * seconds)
            print(
                f"{moment:7} {painting.memory_info().rss / 1e6:7.1f} MB, {painting.num_threads()} threads", flush=True
            )
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)


async def _started(session: ClientSession, page: str, painting: psutil.Popen) -> None:
    while True:
        with suppress(ClientConnectionError):
            async with session.get(page) as answer:
                answer.raise_for_status()
                return
        if painting.poll() is not None:
            raise SystemExit("it ended before it began")
        await asyncio.sleep(0.2)


async def _look(session: ClientSession, page: str, seconds: float = float("inf")) -> None:
    """Look at every frame for so long, as a browser does."""
    until_s = time.monotonic() + seconds
    async with session.ws_connect(f"{page}watch", max_msg_size=0) as viewer:
        async for message in viewer:
            if time.monotonic() > until_s:
                return
            if message.type is WSMsgType.BINARY:
                await viewer.send_str("shown")


async def _visit(session: ClientSession, page: str) -> None:
    """Again and again somebody who looks for a while, picks a style, stops answering, and is gone."""
    for number in count():
        await _look(session, page, VISIT_S)
        async with session.ws_connect(f"{page}watch", max_msg_size=0) as viewer:
            state: dict[str, dict[str, float]] = {}
            while not state:
                message = await viewer.receive()
                state = message.json() if message.type is WSMsgType.TEXT else state
            names = list(state["weights"])
            wanted = {"weights": {names[number % len(names)]: 1.0, names[0]: 0.5}, "strength": 0.5 + number % 2 / 2}
            async with session.put(f"{page}mix", json=wanted) as answer:
                answer.raise_for_status()
            await asyncio.sleep(VISIT_S)


@contextmanager
def _camera() -> Iterator[str]:
    """The address of a camera with a life of its own."""
    streams = [[_part(number, *size) for number in range(PICTURES)] for size in SIZES]
    connections = count(1)

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = next(connections)
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            began_s = time.monotonic()
            with suppress(OSError):
                for number in count():
                    passed_s = time.monotonic() - began_s
                    if passed_s > LEAVE_S:
                        break
                    stream = streams[int(passed_s / SIZE_S) % len(streams)]
                    self.wfile.write(stream[number % PICTURES])
                    time.sleep(max(0.0, began_s + (number + 1) / RATE - time.monotonic()))
                if connection % 2:
                    time.sleep(STALL_S)

        def log_message(self, *_: object) -> None:
            """It has nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


def _part(number: int, width: int, height: int) -> bytes:
    """A picture of smooth patches with a bar that moves, as a part of a multipart stream."""
    patches = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    left = number * width // PICTURES
    picture[:, left : left + width // 16] = 255 - picture[:, left : left + width // 16]
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(picture, np.uint8)).save(buffer, "JPEG", quality=85)
    jpeg = buffer.getvalue()
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(jpeg), jpeg)


if __name__ == "__main__":
    main()
