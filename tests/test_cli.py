import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from pipeline import cli, installed
from pipeline.check import check_machine
from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.fast.files import save_fast
from pipeline.fast.network import relax
from pipeline.motion import Frame
from pipeline.vgg import VGG16, save_tensors
from pipeline.video import probe, read_frames
from tests.fast.test_network import tiny_network
from tests.networks import write_random_weights
from tests.pictures import shifted, textured


@pytest.fixture
def project(workspace: Path, network: VGG16, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with weights, and no model but the installed one; a photograph, a style and a clip."""
    monkeypatch.setattr(installed, "PRETRAINED", workspace / "installed.safetensors")
    monkeypatch.setattr(installed, "FAST_PRETRAINED", workspace / "none.safetensors")
    save_model(installed.PRETRAINED, network)
    write_random_weights(installed.WEIGHTS)
    Image.fromarray(textured(0)).save("photo.jpg")
    Image.fromarray(textured(1)).save("style.png")
    write_video(Path("clip.mp4"), [shifted(textured(0), i) for i in range(5)], Fraction(12), crf=8)
    return workspace


def test_another_project_s_params_are_left_alone(project: Path, tmp_path: Path) -> None:
    (project / "params.yaml").write_text("train:\n  lr: 0.1\n")
    assert paint(*"image photo.jpg --style style.png --output out.png --iterations 2".split()).exit_code == 0
    with Image.open("out.png") as painted:
        assert painted.size == (96, 64)  # not enlarged


def paint(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def save_model(path: Path, network: VGG16) -> None:
    """In half precision, as the installed one is."""
    save_tensors(path, {name: values.half() for name, values in network.trainable().items()}, {"crop_px": "64"})


def test_an_image_is_painted_with_the_installed_model(project: Path) -> None:
    arguments = "image photo.jpg --style style.png --output out.png --width 80 --iterations 4".split()
    assert paint(*arguments).exit_code == 0
    painted = Image.open("out.png")
    assert painted.size == (80, 53)
    assert np.abs(np.asarray(painted, float) - np.asarray(Image.open("photo.jpg").resize((80, 53)), float)).mean() > 1


def test_the_models_in_service_come_before_those_trained_last(project: Path) -> None:
    assert installed.find_model() == installed.PRETRAINED
    assert installed.find_fast() == installed.FAST_PRETRAINED
    for name in (installed.MODEL, installed.FAST):
        name.parent.mkdir(parents=True, exist_ok=True)
        name.touch()
    assert (installed.find_model(), installed.find_fast()) == (installed.MODEL, installed.FAST)
    Path("service/one").mkdir(parents=True)
    Path("service/current").symlink_to("one")
    Path("service/one/classifier.safetensors").touch()
    assert installed.find_model() == Path("service/current/classifier.safetensors")
    assert installed.find_fast() == installed.FAST


def test_a_part_of_a_video_is_painted(project: Path) -> None:
    arguments = "video clip.mp4 --style style.png --output out.mp4 --width 64 --frames 1:3".split()
    assert paint(*arguments).exit_code == 0
    info = probe(Path("out.mp4"))
    assert (info.width_px, info.frame_rate) == (64, Fraction(12))
    assert len(list(read_frames(Path("out.mp4")))) == 2
    assert not list(project.glob(".out.frames*"))


def test_a_painting_has_16_bits_where_the_file_can_hold_them(project: Path) -> None:
    paint(*"image photo.jpg --style style.png --output out.tif --iterations 3".split())
    samples = cv2.imread("out.tif", cv2.IMREAD_UNCHANGED)
    assert samples is not None
    assert samples.dtype == np.uint16
    assert len(np.unique(samples)) > 1000


def test_colours_and_mask_of_an_image(project: Path) -> None:
    """Without style in the chroma, and under a mask: what is black in it stays as it was."""
    half = np.zeros((64, 96), np.uint8)
    half[:, 48:] = 255
    Image.fromarray(half).save("mask.png")
    arguments = "image photo.jpg --style style.png --output out.png --iterations 20 --colours content --mask mask.png"
    assert paint(*arguments.split()).exit_code == 0
    before, after = (np.asarray(Image.open(name), float) for name in ("photo.jpg", "out.png"))
    assert np.abs(after - before)[:, :40].max() <= 1
    assert np.abs(after - before)[:, 56:].mean() > 1


def test_the_mask_of_a_video_may_move(project: Path) -> None:
    """What is black in the mask of a frame stays as it was in that frame."""
    black, white = np.zeros((32, 64), np.uint8), np.full((32, 64), 255, np.uint8)
    Path("masks").mkdir()
    for i in range(4):
        Image.fromarray(black if i == 2 else white).save(f"masks/{i}.png")
    paint(*"video clip.mp4 --style style.png --width 64 --frames 1:3 --mask masks --output out.mp4".split())
    frames, clip = (
        list(read_frames(Path(name), chosen, 64))
        for name, chosen in (("out.mp4", slice(0, 2)), ("clip.mp4", slice(1, 3)))
    )
    painted, untouched = (np.abs(a.astype(float) - b).mean() for a, b in zip(frames, clip, strict=True))
    assert untouched < painted / 2


def test_a_video_goes_from_one_style_to_another(project: Path) -> None:
    Image.fromarray(textured(2)).save("other.png")
    common = "video clip.mp4 --width 64 --frames 0:2 --no-temporal --output".split()
    paint(*common, "over.mp4", *"--style style.png --style other.png --weights 1,0 --weights-at-end 0,1".split())
    paint(*common, "first.mp4", "--style", "style.png")
    paint(*common, "last.mp4", "--style", "other.png")
    over, first, last = (list(read_frames(Path(f"{name}.mp4"))) for name in ("over", "first", "last"))

    def distance(a: Frame, b: Frame) -> float:
        return float(np.abs(a.astype(float) - b).mean())

    assert distance(over[0], first[0]) < distance(over[0], last[0])
    assert distance(over[1], last[1]) < distance(over[1], first[1])


def test_without_the_temporal_constraint_the_video_differs(project: Path) -> None:
    common = "video clip.mp4 --style style.png --width 64 --frames 0:2 --output".split()
    paint(*common, "steady.mp4")
    paint(*common, "alone.mp4", "--no-temporal")
    steady, alone = (list(read_frames(Path(name))) for name in ("steady.mp4", "alone.mp4"))
    assert not np.array_equal(steady[1], alone[1])


def test_a_video_is_painted_fast_in_styles_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the size of the file; the project's network comes before the installed one."""
    monkeypatch.setattr(installed, "FAST_PRETRAINED", project / "fast.safetensors")
    save_fast(project / "fast.safetensors", relax(tiny_network()))
    arguments = "video clip.mp4 --fast --output out.mp4 --frames 1:4".split()
    assert paint(*arguments, *"--style b --style a --weights 1,2 --weights-at-end 0,1".split()).exit_code == 0
    assert [frame.shape for frame in read_frames(Path("out.mp4"))] == [(64, 96, 3)] * 3
    save_fast(installed.FAST, relax(tiny_network(("wave", "scream"))))
    with pytest.raises(UserError, match="there is no style b; choose among wave, scream"):
        paint(*arguments, "--style", "b")
    assert paint(*arguments, "--style", "scream").exit_code == 0


@pytest.mark.parametrize("option", ["--colours content", "--colours matched", "--workers 2"])
def test_what_fast_painting_cannot_do_is_refused(project: Path, option: str) -> None:
    with pytest.raises(UserError, match="leave out --colours and --workers"):
        paint(*f"video clip.mp4 --fast --style a --output out.mp4 {option}".split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("image photo.jpg --style style.png --output out.txt", r"--output out\.txt should end in"),
        ("image photo.jpg --style style.png --output no/out.png", "there is no folder no"),
        ("image none.jpg --style style.png --output out.png", r"none\.jpg cannot be read"),
        ("image photo.jpg --style clip.mp4 --output out.png", r"clip\.mp4 cannot be used"),
        ("video photo.jpg --style style.png --output out.mp4", r"photo\.jpg"),
        ("video clip.mp4 --style style.png --output out.mp4 --frames 5:2", "frames '5:2'"),
        ("video clip.mp4 --style style.png --output out.mp4 --frames 50:60", r"clip\.mp4 has 5 frames"),
        (
            "video clip.mp4 --style style.png --output out.mp4 --weights 1,2",
            "--weights 1,2 should be a number for each",
        ),
        ("image photo.jpg --style style.png --output out.png --weights x", "--weights x should be a number for each"),
        ("image photo.jpg --style style.png --output out.png --weights 0", "--weights 0 should be a number for each"),
        ("image photo.jpg --style style.png --output out.png --weights nan", "--weights nan should be a number"),
        ("video clip.mp4 --fast --style a --output out.mp4", r"none\.safetensors cannot be read; `dvc repro distill`"),
        ("classify none.jpg", r"none\.jpg does not exist"),
    ],
)
def test_mistakes_are_named(project: Path, arguments: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        paint(*arguments.split())


def test_pictures_are_classified(project: Path) -> None:
    folder = Path("folder")
    folder.mkdir()
    Image.fromarray(textured(2)).save(folder / "a.png")
    (folder / "notes.txt").write_text("no picture")
    result = paint("classify", "--json", "folder", "photo.jpg")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["path"] for answer in answers] == ["folder/a.png", "photo.jpg"]
    for answer in answers:
        assert answer["label"] in ("painting", "photo")
        assert 0.5 <= answer["probability"] <= 1


def test_model_of_the_project_comes_before_the_installed_one(project: Path, network: VGG16) -> None:
    for bias, label in ((-99.0, "photo"), (99.0, "painting")):
        network.head.bias.data.fill_(bias)
        save_model(installed.MODEL if label == "painting" else installed.PRETRAINED, network)
        answer = json.loads(paint("classify", "--json", "photo.jpg").stdout)
        assert answer["label"] == label
        assert answer["probability"] > 0.9


def test_one_broken_picture_does_not_stop_the_others(project: Path) -> None:
    Path("broken.jpg").write_bytes(b"<html>")
    runner = CliRunner()
    result = runner.invoke(cli.app, ["classify", "broken.jpg", "photo.jpg"])
    assert isinstance(result.exception, UserError)
    assert "1 of the pictures could not be read" in str(result.exception)
    assert "photo.jpg" in result.stdout


def test_check_tells_what_is_missing_and_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.check.INDEX_COMMAND", ("false",))
    checks = {check.name: check for check in check_machine(installed.find_weights(), installed.find_model())}
    assert checks["weights"].state == "ok"
    assert (checks["model"].state, checks["model"].finding) == ("ok", str(installed.PRETRAINED))
    assert checks["codecs"].state == "ok"
    assert checks["network"].state == "limited"
    installed.MODEL.parent.mkdir(parents=True)
    installed.MODEL.write_bytes(b"\x80\x04pickle")
    checks = {check.name: check for check in check_machine(installed.find_weights(), installed.find_model())}
    assert checks["model"].state == "missing"
    assert "not a safetensors file" in checks["model"].finding
