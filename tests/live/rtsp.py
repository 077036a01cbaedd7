"""A camera that speaks RTSP, for one viewer after another: H.264 as RTP within the connection (RFC 2326, 6184)."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:0\r\n"
)
FRAMES_A_SIZE = 20
CLOCK_HZ = 90_000


@contextmanager
def camera() -> Iterator[str]:
    """Its address. Frames get lighter, and are by turns 64 x 48 and 96 x 48 pixels."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed
                    return
                with connection, suppress(OSError):
                    _answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/secret"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(connection: socket.socket) -> None:
    with connection.makefile("rb") as requests:
        while line := requests.readline().decode():
            method = line.split()[0]
            headers = {}
            while (line := requests.readline().decode().strip()) != "":
                headers[line.partition(":")[0].lower()] = line.partition(":")[2].strip()
            more, body = {
                "DESCRIBE": ("Content-Type: application/sdp\r\n", SDP),
                "SETUP": (f"Transport: {headers.get('transport')}\r\n", ""),
            }.get(method, ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""))
            answer = (
                f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n{more}Content-Length: {len(body)}\r\n"
            )
            connection.sendall(f"{answer}\r\n{body}".encode())
            if method == "PLAY":
                _play(connection)


def _play(connection: socket.socket) -> None:
    for packet in packets(1000):
        connection.sendall(packet)
        time.sleep(0.02)


def packets(frames: int) -> Iterator[bytes]:
    """The packets of each frame."""
    sequence = 0
    for number in range(frames):
        if number % FRAMES_A_SIZE == 0:
            encoder = _encoder(64 if number // FRAMES_A_SIZE % 2 == 0 else 96)
        pixels = np.full((48, encoder.width, 3), number % 250, np.uint8)
        frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 50)
        units = [unit for packet in encoder.encode(frame) for unit in _units(bytes(packet))]
        sent = b""
        for unit in units:
            last = unit is units[-1]
            header = struct.pack("!BBHII", 0x80, 96 | last << 7, sequence & 0xFFFF, number * CLOCK_HZ // 50, 1)
            sent += struct.pack("!cBH", b"$", 0, len(header) + len(unit)) + header + unit
            sequence += 1
        yield sent


def _encoder(width: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, 48, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 50), {"tune": "zerolatency", "preset": "ultrafast"}
    return encoder


def _units(packet: bytes) -> list[bytes]:
    """What is between the start codes."""
    return [unit.rstrip(b"\0") for unit in packet.split(b"\0\0\1") if unit.rstrip(b"\0")]
