from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from pipeline.console import UserError
from pipeline.encoding import Sound, write_video
from pipeline.video import parse_frames, probe, read_frames
from tests.clips import SAMPLE_RATE, grays, levels, make_clip

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


def test_a_range_that_only_the_header_has_is_refused(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "clip.mov", grays(21), codec="mjpeg", pix_fmt="yuvj420p", movflags="+faststart")
    with av.open(whole) as container:
        last = max(packet.pos or 0 for packet in container.demux(video=0))
    (tmp_path / "clip.mov").write_bytes(whole.read_bytes()[:last])
    assert probe(whole).frame_count == 21
    assert len(list(read_frames(whole, slice(19, None)))) == 1
    with pytest.raises(UserError, match="ends before frame 20"):
        next(read_frames(whole, slice(20, None)))


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
