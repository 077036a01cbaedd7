import logging
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from pipeline.console import UserError
from pipeline.video import Sound, parse_frames, probe, read_frames, write_video

SAMPLE_RATE = 48_000
GAP = 10
"""Between the grey levels of frames made by ``grays``, far more than coding changes them."""


def grays(count: int, height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    return [np.full((height, width, 3), GAP * i % 250, np.uint8) for i in range(count)]


def levels(frames: Iterator[NDArray[np.uint8]]) -> list[int]:
    """Which of the ``grays`` each frame is."""
    return [round(float(frame.mean()) / GAP) for frame in frames]


def make_clip(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    rate: Fraction | int = 25,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    sound: str | None = None,
    degrees: int = 0,
    pixel_aspect: int = 1,
    movflags: str = "",
) -> Path:
    """A clip made with PyAV alone; its sound is a faint noise with a tone from second 1.0 to 1.1."""
    height, width = frames[0].shape[:2]
    with av.open(path, "w", options={"movflags": movflags} if movflags else {}) as container:
        video = container.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.sample_aspect_ratio = Fraction(pixel_aspect)
        if degrees:
            video.set_display_rotation(degrees)
        # AAC would put other noise in the place of noise each time it is decoded.
        audio = container.add_stream(sound, rate=SAMPLE_RATE, options={"aac_pns": "0"}) if sound else None
        for i, pixels in enumerate(frames):
            frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times_ms[i], Fraction(1, 1000)) if times_ms else (i, 1 / Fraction(rate))
            container.mux(video.encode(frame))
        if isinstance(audio, av.AudioStream):
            seconds = np.arange(int(len(frames) / rate * SAMPLE_RATE)) / SAMPLE_RATE
            wave = np.random.default_rng(0).normal(scale=0.02, size=len(seconds))
            wave += (seconds >= 1.0) * (seconds < 1.1) * 0.8 * np.sin(2 * np.pi * 880 * seconds)
            packed = np.repeat(wave.astype(np.float32)[None], 2, axis=0)
            heard = AudioFrame.from_ndarray(packed, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def sound_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(path) as container:
        packets: list[Packet[av.AudioStream]] = list(container.demux(container.streams.audio[0]))
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.pts is not None]


def samples(path: Path) -> NDArray[np.float32]:
    """The first channel as it is played, from second 0."""
    played = np.zeros(5 * SAMPLE_RATE, np.float32)
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            start = round(float(frame.time or 0) * SAMPLE_RATE)
            heard = frame.to_ndarray()[0][max(0, -start) :]
            played[max(0, start) : max(0, start) + len(heard)] = heard
    return played


def first_heard_s(path: Path) -> float:
    """When the tone begins."""
    return float(np.flatnonzero(np.abs(samples(path)) > 0.3)[0]) / SAMPLE_RATE


# --- what is asked for


@pytest.mark.parametrize(
    ("text", "expected"),
    [("190:214", slice(190, 214)), (":", slice(0, None)), ("5:", slice(5, None)), (":7", slice(0, 7))],
)
def test_ranges_of_frames(text: str, expected: slice) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "7", "7:7", "9:3", "-3:4", "1:2:3", "a:b", "\u0661:\u0662", "1:" + "9" * 5000])
def test_other_ranges_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError, match="frames") as caught:
        parse_frames(text)
    assert "\n" not in str(caught.value)


# --- reading


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.ts", "clip.mov", "part:1 %d.mp4"])
def test_frames_come_in_order_from_any_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / name, grays(20)).relative_to(tmp_path)
    assert levels(read_frames(clip)) == list(range(20))
    assert levels(read_frames(clip, slice(7, 11))) == [7, 8, 9, 10]
    assert levels(read_frames(clip, slice(17, None))) == [17, 18, 19]
    assert probe(clip).frame_rate == 25


def test_a_range_outside_the_clip_is_refused(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.mkv"):  # the first says how many frames it has, the second does not
        clip = make_clip(tmp_path / name, grays(20))
        for frames in (slice(20, None), slice(15, 30), slice(100, 110)):
            with pytest.raises(UserError, match=r"20|100"):
                list(read_frames(clip, frames))


def test_a_width_keeps_the_aspect_and_sides_are_even(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "odd.mkv", grays(2, 75, 101), pix_fmt="yuv444p")
    assert (probe(clip).width_px, probe(clip).height_px) == (101, 75)
    assert next(read_frames(clip)).shape == (74, 100, 3)
    assert next(read_frames(clip, width_px=65)).shape == (48, 64, 3)
    assert next(read_frames(clip, width_px=202)).shape == (150, 202, 3)


def test_no_row_is_blurred_to_make_a_side_even(tmp_path: Path) -> None:
    rows = np.zeros((47, 64, 3), np.uint8)
    rows[::2] = 255
    clip = make_clip(tmp_path / "odd.mkv", [rows], codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(next(read_frames(clip)), rows[:46])


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "wide.mp4", grays(2), pixel_aspect=2)
    assert probe(clip).width_px == 128
    assert next(read_frames(clip)).shape == (48, 128, 3)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_clip_is_read_upright(tmp_path: Path, degrees: int) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = (250, 20, 20)
    picture[24:, 32:] = (20, 20, 250)
    clip = make_clip(tmp_path / "clip.mp4", [picture] * 2, pix_fmt="yuv444p", degrees=degrees)
    upright = np.rot90(picture, degrees // 90)
    assert (probe(clip).height_px, probe(clip).width_px) == upright.shape[:2]
    assert np.abs(next(read_frames(clip)).astype(int) - upright).mean() < 3
    assert next(read_frames(clip, width_px=24)).shape[:2] == ((32, 24) if degrees != 180 else (18, 24))


MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


@pytest.mark.parametrize(
    ("matrix", "tag", "full_range", "height"),
    [
        ("bt709", 1, False, 48),
        ("bt601", 6, False, 48),
        ("bt601", 2, False, 48),
        ("bt709", 2, False, 720),
        ("bt709", 1, True, 48),
    ],
)
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, matrix: str, tag: int, full_range: bool, height: int
) -> None:
    rgb = np.array((200.0, 40.0, 90.0))
    red, blue = MATRICES[matrix]
    luma = np.dot((red, 1 - red - blue, blue), rgb)
    chroma = (rgb[2] - luma) / (1 - blue) / 2, (rgb[0] - luma) / (1 - red) / 2
    scale, offset, spread = (1, 0, 1) if full_range else (219 / 255, 16, 224 / 255)
    planes = (luma * scale + offset, *(c * spread + 128 for c in chroma))
    path = tmp_path / "clip.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, 2 if full_range else 1
        data = np.stack([np.full((height, 64), round(p), np.uint8) for p in planes])
        frame = VideoFrame.from_ndarray(data, format="yuv444p")
        frame.colorspace, frame.color_range = tag, 2 if full_range else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(next(read_frames(path)).mean(axis=(0, 1)), rgb, atol=2)


def test_a_clip_of_variable_rate_stays_in_step_with_the_clock(tmp_path: Path) -> None:
    """Written at a nominal 1000 frames a second, as screen recorders do; read at the rate of phones."""
    times_ms = [0, 33, 67, 1000, 1010, 1020, 3000]
    clip = make_clip(tmp_path / "clip.mkv", grays(7), 1000, times_ms=times_ms)
    assert probe(clip).frame_rate == 30
    read = levels(read_frames(clip))
    assert len(read) == 91
    for tick, level in enumerate(read):
        expected = max(i for i, time_ms in enumerate(times_ms) if round(time_ms * 30 / 1000) <= tick)
        assert level == expected, tick


def test_a_jump_of_the_time_stamps_is_no_pause(tmp_path: Path) -> None:
    times_ms = [*range(0, 400, 40), *range(9_000_000, 9_000_200, 40), *range(9_000_280, 9_000_480, 40)]
    clip = make_clip(tmp_path / "clip.mkv", grays(20), 25, times_ms=times_ms)
    still = 14  # shown for 120 ms after the jump
    assert levels(read_frames(clip)) == [*range(still), still, still, *range(still, 20)]


# --- files that are no videos


def hostile_files(folder: Path) -> dict[str, tuple[Path, str]]:
    def write(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    whole = make_clip(folder / "whole.mp4", grays(50), sound="aac").read_bytes()
    ready = make_clip(folder / "ready.mp4", grays(50), sound="aac", movflags="+faststart").read_bytes()
    with av.open(folder / "sound.m4a", "w") as container:
        audio = container.add_stream("aac", rate=SAMPLE_RATE)
        silence = AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    (folder / "folder.mp4").mkdir()
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.mp4\n#EXT-X-ENDLIST\n"
    return {
        "missing": (folder / "none.mp4", "not a file"),
        "folder": (folder / "folder.mp4", "not a file"),
        "empty": (write("empty.mp4", b""), "cannot be read"),
        "html": (write("page.mp4", b"<!DOCTYPE html><html><body>404</body></html>" * 50), "cannot be read"),
        "text": (write("notes.txt", b"some words\n" * 500), "cannot be read"),
        "noise": (write("noise.mp4", np.random.default_rng(0).bytes(50_000)), "cannot be read"),
        "playlist": (write("list.m3u8", playlist.encode()), "cannot be read"),
        "script": (write("script.mp4", b"ffconcat version 1.0\nfile whole.mp4\n"), "cannot be read"),
        "cut off before the index": (write("half.mp4", whole[: len(whole) // 2]), "cannot be read"),
        "cut off after the index": (write("cut.mp4", ready[: len(ready) * 2 // 3]), "before frame|cannot be read"),
        "only sound": (folder / "sound.m4a", "no moving picture"),
    }


def test_what_is_no_whole_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for kind, (path, message) in hostile_files(tmp_path).items():
        with pytest.raises(UserError, match=message) as caught:
            list(read_frames(path))
        assert path.name in str(caught.value), kind
        assert "\n" not in str(caught.value), kind


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_video_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(make_clip(tmp_path / "clip.mp4", grays(30), sound="aac").read_bytes())
    for position in random.integers(0, len(data), 40):
        data[position] = random.integers(256)
    (tmp_path / "clip.mp4").write_bytes(data)
    with suppress(UserError):  # any other exception is a failure
        info = probe(tmp_path / "clip.mp4")
        frames = list(read_frames(tmp_path / "clip.mp4", slice(0, 100)))
        write_video(tmp_path / "out.mp4", frames, info.frame_rate, 30, Sound(tmp_path / "clip.mp4"))


# --- writing


def gradient() -> NDArray[np.uint8]:
    y, x = np.mgrid[:96, :128] / (95, 127)[0]
    return np.stack((x * 186, y * 255, 255 - x * 186), axis=-1).round().astype(np.uint8)


@pytest.mark.parametrize("colour", [(200, 30, 60), (0, 0, 0), (255, 255, 255), (10, 120, 250), None])
def test_colours_survive_writing_and_reading(tmp_path: Path, colour: tuple[int, int, int] | None) -> None:
    picture = gradient() if colour is None else np.full((96, 128, 3), colour, np.uint8)
    write_video(tmp_path / "out.mp4", [picture] * 5, Fraction(25), crf=8)
    for frame in read_frames(tmp_path / "out.mp4"):
        assert np.abs(frame.astype(int) - picture).mean() < 1.5


def test_the_output_is_what_players_play(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    write_video(out, [np.full((48, 64, 3), (200, 30, 60), np.uint8)] * 3, Fraction(25), crf=8)
    with av.open(out) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        luma = next(container.decode(stream)).to_ndarray()[:48]
    expected = 16 + 219 * np.dot((0.2126, 0.7152, 0.0722), (200, 30, 60)) / 255
    assert abs(float(luma.mean()) - expected) < 1
    data = out.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(12, 5)])
def test_frame_rates_are_kept(tmp_path: Path, rate: Fraction) -> None:
    write_video(tmp_path / "out.mp4", grays(31), rate, crf=8)
    info = probe(tmp_path / "out.mp4")
    assert (info.frame_rate, info.frame_count, info.has_sound) == (rate, 31, False)
    assert levels(read_frames(tmp_path / "out.mp4"))[:25] == list(range(25))


def test_no_frame_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no frame to write into .*out\.mp4"):
        write_video(tmp_path / "out.mp4", [], Fraction(25), crf=8)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    references: list[weakref.ref[NDArray[np.uint8]]] = []
    alive: list[int] = []

    def watched() -> Iterator[NDArray[np.uint8]]:
        for frame in read_frames(clip):
            references.append(weakref.ref(frame))
            alive.append(sum(reference() is not None for reference in references))
            yield frame

    clip = make_clip(tmp_path / "clip.mp4", grays(200))
    write_video(tmp_path / "out.mp4", watched(), Fraction(25), crf=30)
    assert len(alive) == 200
    assert max(alive) <= 5


@pytest.mark.parametrize(
    ("rate", "frames"),
    [(Fraction(25), slice(20, 45)), (Fraction(30000, 1001), slice(0, 60)), (Fraction(24), slice(1, 50))],
)
@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "aac"), ("clip.mkv", "libopus")])
def test_sound_is_copied_unchanged_trimmed_and_in_step(
    tmp_path: Path, rate: Fraction, frames: slice, name: str, codec: str
) -> None:
    clip, out = make_clip(tmp_path / name, grays(75), rate, sound=codec), tmp_path / "out.mp4"
    assert probe(clip).has_sound
    start_s = frames.start / rate
    length_s = (frames.stop - frames.start) / rate
    write_video(out, read_frames(clip, frames), rate, 20, Sound(clip, start_s))

    source, copied = sound_packets(clip), sound_packets(out)
    first = [data for _, data in source].index(copied[0][1])
    assert [data for _, data in copied] == [data for _, data in source[first : first + len(copied)]]
    for (was_s, _), (is_s, _) in zip(source[first:], copied, strict=False):
        assert abs(was_s - start_s - is_s) < 0.0015
    packet_s = Fraction(1024, SAMPLE_RATE)
    assert -2 * packet_s <= copied[0][0] <= 0
    assert length_s - 2 * packet_s < copied[-1][0] < length_s
    assert first_heard_s(out) == pytest.approx(float(1 - start_s), abs=0.012)
    assert probe(out).frame_count == frames.stop - frames.start


def test_sound_is_whole_from_its_first_sample(tmp_path: Path) -> None:
    """AAC overlaps packets: without the packet before, the first would fade in."""
    clip, out = make_clip(tmp_path / "clip.mp4", grays(50), sound="aac"), tmp_path / "out.mp4"
    write_video(out, read_frames(clip, slice(20, 40)), Fraction(25), 20, Sound(clip, Fraction(20, 25)))
    was, now = samples(clip), samples(out)
    start = SAMPLE_RATE * 20 // 25
    np.testing.assert_array_equal(now[: SAMPLE_RATE // 2], was[start : start + SAMPLE_RATE // 2])


def test_sound_keeps_step_with_a_video_that_starts_late(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", grays(50), times_ms=range(480, 480 + 50 * 40, 40), sound="aac")
    write_video(tmp_path / "out.mp4", read_frames(clip), Fraction(25), 20, Sound(clip))
    assert first_heard_s(tmp_path / "out.mp4") == pytest.approx(1 - 0.48, abs=0.012)


def test_sound_that_an_mp4_cannot_hold_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = make_clip(tmp_path / "clip.mkv", grays(5), sound="wavpack")
    with caplog.at_level(logging.WARNING):
        write_video(tmp_path / "out.mp4", read_frames(clip), Fraction(25), 20, Sound(clip))
    assert "wavpack" in caplog.text
    assert probe(tmp_path / "out.mp4").frame_count == 5


def test_a_failure_half_way_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield from grays(60)
        raise RuntimeError("out of paint")

    (tmp_path / "out.mp4").write_bytes(b"the last one")
    with pytest.raises(RuntimeError, match="out of paint"):
        write_video(tmp_path / "out.mp4", failing(), Fraction(25), crf=8)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"the last one"


def test_a_killed_run_leaves_no_half_file(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from pipeline.video import write_video

def frames():
    for i in range(200):
        yield np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8)
    os.kill(os.getpid(), signal.SIGKILL)

write_video(Path(sys.argv[1]), frames(), Fraction(25), 8)
"""
    out = tmp_path / "out.mp4"
    killed = subprocess.run([sys.executable, "-c", script, out], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert not out.exists()
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
