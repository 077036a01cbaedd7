from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.console import UserError
from pipeline.fast.clip import FastClip
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.motion import Frame
from pipeline.video import probe, read_frames, read_times
from tests.clips import make_clip, sound_packets
from tests.fast.test_network import tiny_network
from tests.pictures import scene

SIZE = 64, 48
WHOLE = slice(0, None)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    frames = [np.asarray(scene(*SIZE, seed=seed)) for seed in range(6)]
    return make_clip(tmp_path / "clip.mp4", frames, times_ms=[0, 40, 80, 200, 240, 280], sound="aac")


@pytest.fixture
def painter() -> FastPainter:
    return torch_painter(tiny_network(), torch.device("cpu"))


def work(clip: Path, **values: object) -> FastClip:
    settings: dict[str, object] = {"styles": ("a",), "mixtures": ((1.0,), (1.0,)), "frames": WHOLE}
    return FastClip(clip=clip, **(settings | values))  # type: ignore[arg-type]


def paint(clip: Path, painter: FastPainter, **values: object) -> list[Frame]:
    """All frames, painted."""
    chosen = work(clip, **values)
    return list(chosen.paint(painter, len(read_times(clip, chosen.frames)) - 1))


def test_each_frame_is_painted_by_the_network(clip: Path, painter: FastPainter) -> None:
    painted = paint(clip, painter)
    painter.mix({"a": 1})
    assert len(painted) == 6
    for frame, original in zip(painted, read_frames(clip), strict=True):
        assert np.array_equal(frame, painter.paint(original))


def test_written_video_keeps_times_size_and_sound(clip: Path, painter: FastPainter, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    assert work(clip).write(painter, output, crf=16) == 6
    info = probe(output)
    assert (info.width_px, info.height_px) == SIZE
    assert read_times(output)[:-1] == read_times(clip)[:-1]
    assert [sound for _, sound in sound_packets(output)] == [sound for _, sound in sound_packets(clip)][
        : len(sound_packets(output))
    ]
    painted, decoded = paint(clip, painter), list(read_frames(output))
    distances = [[np.abs(frame.astype(float) - other).mean() for other in painted] for frame in decoded]
    assert np.argmin(distances, axis=1).tolist() == list(range(6))


def test_a_part_at_another_width(clip: Path, painter: FastPainter, tmp_path: Path) -> None:
    assert work(clip, frames=slice(2, 5), width_px=32).write(painter, tmp_path / "out.mp4", crf=16) == 3
    assert [frame.shape for frame in read_frames(tmp_path / "out.mp4")] == [(24, 32, 3)] * 3


def test_styles_go_over_from_the_first_frame_to_the_last(clip: Path, painter: FastPainter) -> None:
    over = paint(clip, painter, styles=("a", "b"), mixtures=((1, 0), (0, 2)))
    first, last = paint(clip, painter), paint(clip, painter, styles=("b",))
    assert np.array_equal(over[0], first[0])
    assert np.array_equal(over[-1], last[-1])
    painter.mix({"a": 3, "b": 2})
    assert np.array_equal(over[2], painter.paint(list(read_frames(clip))[2]))


def test_a_style_named_twice_weighs_what_both_weigh(clip: Path, painter: FastPainter) -> None:
    twice = paint(clip, painter, styles=("a", "b", "a"), mixtures=((1, 1, 1), (1, 1, 1)))
    once = paint(clip, painter, styles=("a", "b"), mixtures=((2, 1), (2, 1)))
    assert np.array_equal(twice, once)


def test_strength_and_mask(clip: Path, painter: FastPainter, tmp_path: Path) -> None:
    originals = list(read_frames(clip))
    assert np.array_equal(paint(clip, painter, strength=0.0), originals)
    half = np.zeros((48, 64), np.uint8)
    half[:, 32:] = 255
    Image.fromarray(half).save(tmp_path / "mask.png")
    masked, whole = paint(clip, painter, mask=tmp_path / "mask.png"), paint(clip, painter)
    assert np.array_equal(np.array(masked)[:, :, :30], np.array(originals)[:, :, :30])
    assert np.array_equal(np.array(masked)[:, :, 34:], np.array(whole)[:, :, 34:])


def test_mask_that_is_too_short_is_one_sentence(clip: Path, painter: FastPainter, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for number in range(4):
        Image.new("L", SIZE, 255).save(tmp_path / f"masks/{number}.png")
    with pytest.raises(UserError, match="masks has 4 frames, too few for 0:6"):
        work(clip, mask=tmp_path / "masks").write(painter, tmp_path / "out.mp4", crf=16)
    assert not (tmp_path / "out.mp4").exists()


def test_unknown_style_is_known_before_the_clip_is_read(painter: FastPainter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no style scream; choose among a, b"):
        work(tmp_path / "none.mp4", styles=("scream",)).write(painter, tmp_path / "out.mp4", crf=16)


def test_frames_do_not_pile_up(clip: Path, painter: FastPainter, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the clip: decoding waits for painting, and painting for whoever takes the frames."""
    read: list[int] = []

    def endless(*_: object) -> Iterator[Frame]:
        while True:
            read.append(1)
            yield np.zeros((16, 16, 3), np.uint8)

    monkeypatch.setattr("pipeline.fast.clip.read_frames", endless)
    painted = work(clip).paint(painter, 10**6)
    for _ in range(20):
        next(painted)
    assert len(read) < 40
    painted.close()  # type: ignore[attr-defined]
