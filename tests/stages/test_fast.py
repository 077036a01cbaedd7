import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pipeline.console import UserError
from pipeline.fast.clip import FastClip
from pipeline.fast.files import load_fast, save_fast
from pipeline.fast.network import relax
from pipeline.fast.painter import FastPainter, torch_painter
from pipeline.stages.fast import METRICS, MODEL, VIDEOS, main
from pipeline.video import probe, read_frames, read_times
from tests.clips import make_clip, sound_packets
from tests.fast.test_network import tiny_network
from tests.pictures import scene

TIMES_MS = [0, 40, 80, 200]


@pytest.fixture
def project(workspace: Path) -> Path:
    """A clip with sound and a gap, and a network that has two of three styles."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["clips"] = {"pan": {"source": "pan.mp4", "frames": ":", "width_px": 64}}
    params["styles"] = {name: {"source": f"{name}.png"} for name in ("a", "b", "c")}
    params["distill"]["styles"] = ["a", "b"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("data/clips").mkdir(parents=True)
    frames = [np.asarray(scene(64, 48, seed=seed)) for seed in range(len(TIMES_MS))]
    make_clip(Path("data/clips/pan.mp4"), frames, times_ms=TIMES_MS, sound="aac")
    save_fast(MODEL, relax(tiny_network()).eval())
    set_jobs(one={"styles": {"a": 1}}, over={"styles": {"b": 2, "a": 1}, "styles_at_end": {"b": 3}})
    return workspace


def set_jobs(strength: float = 1, **jobs: dict[str, object]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["stylize"] |= {"strength": strength, "jobs": {name: {"clip": "pan", **job} for name, job in jobs.items()}}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def nearest(name: str, index: int, mixtures: list[tuple[dict[str, float], float]]) -> int:
    """Which of the mixtures, each with its strength, a frame of a job's video was painted in."""
    painter = torch_painter(load_fast(MODEL), torch.device("cpu"))
    original, frame = (list(read_frames(path))[index] for path in (Path("data/clips/pan.mp4"), VIDEOS / f"{name}.mp4"))
    distances = []
    for weights, strength in mixtures:
        painter.mix(weights, strength)
        distances.append(np.abs(painter.paint(original).astype(float) - frame).mean())
    return int(np.argmin(distances))


def test_every_job_is_painted_in_its_styles(project: Path) -> None:
    main([])
    assert sorted(path.name for path in VIDEOS.iterdir()) == ["one.mp4", "over.mp4"]
    mixtures: list[tuple[dict[str, float], float]] = [({"a": 1}, 1), ({"b": 1}, 1), ({"a": 1, "b": 2}, 1)]
    assert [nearest("one", index, mixtures) for index in (0, 3)] == [0, 0]
    assert [nearest("over", index, mixtures) for index in (0, 3)] == [2, 1]
    metrics = json.loads(METRICS.read_text())
    assert metrics.keys() == {"one", "over"}
    assert all(cost["frames"] == len(TIMES_MS) and cost["seconds"] > 0 for cost in metrics.values())


def test_times_size_and_sound_are_those_of_the_clip(project: Path) -> None:
    main([])
    clip, video = Path("data/clips/pan.mp4"), VIDEOS / "one.mp4"
    assert (probe(video).width_px, probe(video).height_px) == (64, 48)
    assert read_times(video)[:-1] == read_times(clip)[:-1]
    heard = [sound for _, sound in sound_packets(video)]
    assert heard
    assert heard == [sound for _, sound in sound_packets(clip)][: len(heard)]


def test_strength_is_that_of_the_settings(project: Path) -> None:
    set_jobs(strength=0.25, one={"styles": {"a": 1}})
    main([])
    assert nearest("one", 1, [({"a": 1}, 0), ({"a": 1}, 0.25), ({"a": 1}, 0.5), ({"a": 1}, 1)]) == 1


def test_job_with_a_style_that_was_not_learnt_is_left_out(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    main([])
    set_jobs(one={"styles": {"a": 1}}, other={"styles": {"a": 1}, "styles_at_end": {"c": 1}})
    with caplog.at_level(logging.WARNING):
        main([])
    assert [path.name for path in VIDEOS.iterdir()] == ["one.mp4"]
    assert json.loads(METRICS.read_text()).keys() == {"one"}
    assert caplog.messages == [f"other is left out: {MODEL} has not learnt c; add it to distill.styles"]


@pytest.mark.parametrize("jobs", [{}, {"other": {"styles": {"c": 1}}}])
def test_without_a_job_to_paint_the_folder_is_empty(project: Path, jobs: dict[str, dict[str, object]]) -> None:
    set_jobs(**jobs)  # type: ignore[arg-type]
    main([])
    assert VIDEOS.is_dir()
    assert not any(VIDEOS.iterdir())
    assert json.loads(METRICS.read_text()) == {}


def test_a_failing_run_leaves_the_last_videos(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    videos = {path: path.read_bytes() for path in VIDEOS.iterdir()}
    metrics = METRICS.read_bytes()
    write = FastClip.write

    def fail(work: FastClip, painter: FastPainter, output: Path, crf: int) -> int:
        if output.stem == "over":
            raise OSError("no space left on device")
        return write(work, painter, output, crf)

    set_jobs(strength=0.5, one={"styles": {"a": 1}}, over={"styles": {"b": 1}})
    monkeypatch.setattr(FastClip, "write", fail)
    with pytest.raises(OSError, match="no space"):
        main([])
    assert {path: path.read_bytes() for path in VIDEOS.iterdir()} == videos
    assert METRICS.read_bytes() == metrics
    assert [path.name for path in VIDEOS.parent.glob("*fast*")] == ["fast"]


def test_missing_clip_and_network_are_one_sentence(project: Path) -> None:
    Path("data/clips/pan.mp4").unlink()
    with pytest.raises(UserError, match=r"pan\.mp4"):
        main([])
    MODEL.unlink()
    with pytest.raises(UserError, match=r"fast\.safetensors cannot be read; `dvc repro distill`"):
        main([])
