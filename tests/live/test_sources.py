import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from pipeline.console import UserError
from pipeline.live.sources import OPTIONS, Source, connected, parse_source, shown_address
from tests.clips import grays, levels, make_clip
from tests.live.streams import folder_served, part, served
from tests.pictures import noise


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("clip.mp4", "file", "clip.mp4"),
        ("odd: name.mp4", "file", "odd: name.mp4"),
        ("rtsp://user:pass@camera.local:8554/live?key=1", "rtsp", "rtsp://camera.local:8554"),
        ("RTSPS://camera.local/a", "rtsp", "rtsps://camera.local"),
        ("https://host/a/secret.m3u8", "http", "https://host"),
        ("http://[::1]:80/", "http", "http://[::1]:80"),
    ],
)
def test_inputs_are_named_without_secrets(text: str, kind: str, shown: str) -> None:
    assert parse_source(text) == Source(kind, text, shown)  # type: ignore[arg-type]


def test_cameras_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert parse_source("camera:2") == Source("camera", "/dev/video2", "camera:2")
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(UserError, match="cameras of win32"):
        parse_source("camera:2")


@pytest.mark.parametrize(
    "text",
    [
        "rtps://user:secret@host/",
        "ftp://user:secret@host/",
        "file:///secret",
        "http://user:secret@",
        "rtsp://secret:x/",
    ],
)
def test_mistaken_addresses_are_told_without_their_secrets(text: str) -> None:
    with pytest.raises(UserError, match="--input") as raised:
        parse_source(text)
    assert "secret" not in str(raised.value)


@given(user=st.from_regex(r"[a-z]{8}", fullmatch=True), path=st.from_regex(r"[A-Z]{8}", fullmatch=True))
def test_what_is_shown_of_an_address_holds_no_user_and_no_path(user: str, path: str) -> None:
    assert shown_address("--output", f"rtmp://{user}:{path}@1.2.3.4:1935/{path}?{path}") == "rtmp://1.2.3.4:1935"


def test_frames_of_a_file_come_with_their_times(tmp_path: Path) -> None:
    times_ms = [0, 40, 120, 400, 440]
    path = make_clip(tmp_path / "clip.mkv", grays(5), times_ms=times_ms)
    with connected(parse_source(str(path)), 5) as connection:
        frames = list(connection.frames)
        assert connection.waits
        assert connection.ends
    assert [shown_s for _, shown_s in frames] == [Fraction(time_ms, 1000) for time_ms in times_ms]
    assert levels(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame, _ in frames) == list(range(5))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])
def test_times_increase_in_any_kind_of_file(tmp_path: Path, suffix: str) -> None:
    codec = {".webm": "libvpx"}.get(suffix, "libx264")
    path = make_clip(tmp_path / f"clip{suffix}", [noise(48, 64, 3, seed=i) for i in range(12)], codec=codec)
    with connected(parse_source(str(path)), 5) as connection:
        times_s = [float(shown_s) for _, shown_s in connection.frames]
    assert times_s == pytest.approx([i / 25 for i in range(12)], abs=1e-3)


def test_recordings_that_were_joined_go_on_where_the_first_ends(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "first.ts", grays(5), codec="mpeg2video").read_bytes()
    late = [3_600_000 + 40 * i for i in range(5)]
    second = make_clip(tmp_path / "second.ts", grays(5), codec="mpeg2video", times_ms=late).read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second)
    with connected(parse_source(str(tmp_path / "both.ts")), 5) as connection:
        times_s = [float(shown_s) for _, shown_s in connection.frames]
    steps_s = np.diff(times_s)
    assert len(times_s) == 10
    assert steps_s.min() > 0
    assert steps_s.max() < 0.2


def test_a_live_stream_neither_waits_nor_ends() -> None:
    with served(lambda send: send(part(1) * 5)) as address, connected(parse_source(address), 5) as connection:
        assert not connection.waits
        assert not connection.ends
        assert next(connection.frames)[0].width == 64


def open_and_leave(source: Source, timeout_s: float) -> None:
    with connected(source, timeout_s):
        pass


def test_silence_is_told_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}/secret"
        began_s = time.monotonic()
        with pytest.raises(UserError, match=r"http://127.0.0.1:\d+ gave no picture for 0.3 s") as raised:
            open_and_leave(parse_source(address), 0.3)
        assert time.monotonic() - began_s < 3
    assert "secret" not in str(raised.value) + caplog.text
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_refused_connections_are_told_without_secrets(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused = rf"{scheme}://127.0.0.1:{port} cannot be read \(Connection refused\)"
    with pytest.raises(UserError, match=refused) as raised:
        open_and_leave(parse_source(f"{scheme}://user:secret@127.0.0.1:{port}/secret"), 5)
    assert "secret" not in str(raised.value)


def test_sound_without_picture_is_silence(tmp_path: Path) -> None:
    """A camera whose picture hangs may go on sending sound."""
    clip = make_clip(tmp_path / "clip.ts", grays(2), times_ms=[0, 2000], sound="aac", codec="mpeg2video")
    packets = clip.read_bytes()

    def sound_goes_on(send: object) -> None:
        for _ in range(400):
            send(packets[-188 * 100 :])  # type: ignore[operator]
            time.sleep(0.02)

    with served(sound_goes_on, content_type="video/mp2t") as address:
        began_s = time.monotonic()
        with pytest.raises(UserError), connected(parse_source(address), 0.5) as connection:
            list(connection.frames)
        assert time.monotonic() - began_s < 6


def test_what_is_stored_on_a_server_waits_and_ends(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", grays(5))
    make_clip(tmp_path / "piece.ts", [noise(48, 64, 3, seed=i) for i in range(5)])
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npiece.ts\n#EXT-X-ENDLIST\n")
    with folder_served(tmp_path) as address:
        for name in ("clip.mp4", "list.m3u8"):
            with connected(parse_source(f"{address}/{name}"), 5) as connection:
                assert connection.waits
                assert connection.ends
                assert len(list(connection.frames)) == 5


def test_a_playlist_cannot_name_files(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", [noise(48, 64, 3, seed=i) for i in range(5)])
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist.format(clip))
    with folder_served(tmp_path) as address, pytest.raises(UserError, match="cannot be read"):
        open_and_leave(parse_source(f"{address}/list.m3u8"), 2)


def write_certificate(path: Path) -> None:
    """For 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "camera")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "clip.mp4", grays(5))
    write_certificate(tmp_path / "certificate.pem")
    with folder_served(tmp_path, tmp_path / "certificate.pem") as address:
        source = parse_source(f"{address}/clip.mp4")
        with pytest.raises(UserError, match=r"https://.* check the address and its certificate"):
            open_and_leave(source, 5)
        monkeypatch.setitem(OPTIONS["http"], "ca_file", str(tmp_path / "certificate.pem"))
        open_and_leave(source, 5)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"<html>")
    with pytest.raises(UserError, match="cannot be read as a video"):
        open_and_leave(parse_source(str(tmp_path / "clip.mp4")), 1)
    with pytest.raises(UserError, match="is not a file"):
        open_and_leave(parse_source(str(tmp_path / "none.mp4")), 1)
