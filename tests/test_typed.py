"""What the documents tell people to type, run for real: on small pictures, with networks of few channels.

Run are all commands of ``paint`` but those that go on for ever or need a camera or a server, the recipe for pictures of
one's own from beginning to end, and what DVC is asked to show, store and fetch. What paints, trains or crawls by ``dvc
repro`` is in ``test_dvc.py``, without the stages themselves, which are tested one by one; `paint retrain` is in
``tests/retraining``.
"""

import runpy
import shlex
import shutil
import subprocess
from fractions import Fraction
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline import cli, installed
from pipeline.encoding import write_video
from pipeline.fast.files import save_fast
from pipeline.fast.network import FastNetwork, Widths
from pipeline.images import load_rgb
from pipeline.stages.prepare import IMAGES
from pipeline.vgg import VGG16, save_tensors
from pipeline.video import probe
from scrapers.items import LABELS
from tests.commands import split_commands
from tests.networks import set_params, write_random_weights
from tests.pictures import scene, shifted, textured
from tests.test_documents import commands, recipe
from tests.test_dvc import copy_project, dvc

STYLES = ("scream", "muse", "starry-night")
CLIP_FRAMES = 55


def typed(program: str) -> list[list[str]]:
    """The commands of a program, each as its words."""
    found = [command for line in commands() for command in split_commands(line) if command[0] == program]
    return sorted({shlex.join(command): command for command in found}.values())


def ends(command: list[str]) -> bool:
    """Whether it needs nothing but files, and ends."""
    return command[1] in ("check", "classify", "image", "video") or (command[1] == "stream" and "--output" in command)


@pytest.fixture
def belongings(workspace: Path, network: VGG16, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the documents speak of, and networks for the first steps of painting: one step a frame."""
    steps = ("first_frame_iterations", "next_frame_iterations", "scales")
    set_params({f"stylize.{name}": 1 for name in steps} | {"imitations.transferred": 0, "compare.head_epochs": 1})
    monkeypatch.setattr(installed, "PRETRAINED", workspace / "installed.safetensors")
    monkeypatch.setattr(installed, "FAST_PRETRAINED", workspace / "fast.safetensors")
    trained = {name: values.half() for name, values in network.trainable().items()}
    save_tensors(installed.PRETRAINED, trained, {"crop_px": "64"})
    save_fast(installed.FAST_PRETRAINED, FastNetwork(Widths(fine=4, coarse=4, blocks=1), STYLES))
    write_random_weights(installed.WEIGHTS)
    for number, name in enumerate(("photo", "scream", "muse")):
        Image.fromarray(textured(number)).save(f"{name}.jpg")
    wide = np.hstack([textured(number) for number in range(3)])[:32]
    frames = [shifted(wide, number % 5) for number in range(CLIP_FRAMES)]
    write_video(Path("holiday.mp4"), frames, Fraction(25), crf=20)
    monkeypatch.setenv("HOME", str(workspace))
    Path("pictures").mkdir()
    scene(seed=0).save("pictures/scene.png")
    return workspace


@pytest.mark.parametrize("command", [each for each in typed("paint") if ends(each)], ids=shlex.join)
@pytest.mark.usefixtures("belongings")
def test_paint_paints_what_the_documents_promise(command: list[str]) -> None:
    arguments = [word.replace("~", ".") for word in command[1:]]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    if "--output" not in command:
        return
    output = Path(arguments[arguments.index("--output") + 1])
    if output.suffix == ".mp4":
        assert probe(output).frame_count == (50 if "0:50" in command else CLIP_FRAMES)
    else:
        assert load_rgb(output).size == load_rgb(Path("photo.jpg")).size


def test_pictures_of_your_own_train_a_classifier(belongings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (source, label, _) in enumerate(product(("attic", "phone"), LABELS, range(14))):
        folder = belongings / "pictures" / source / label
        folder.mkdir(parents=True, exist_ok=True)
        scene(seed=number).save(folder / f"{number}.png")
    Path("own.py").write_text(recipe("docs/recipes.md", "Make the pictures"))
    monkeypatch.setattr("sys.argv", ["own.py", "pictures"])
    runpy.run_path("own.py", run_name="__main__")
    page = (Path(__file__).parents[1] / "docs/recipes.md").read_text()
    lines = page[page.index("python own.py ~/pictures") :].partition("```")[0].splitlines()[1:]
    stages = [line.rpartition(".")[2] for line in lines if line.startswith("python -m pipeline.stages.")]
    assert stages[:2] == ["prepare", "weights"]
    for stage in stages:
        if stage != "weights":  # they come from the package index; here they are random
            import_module(f"pipeline.stages.{stage}").main([])
    assert IMAGES.exists()
    assert installed.MODEL.exists()


def test_dvc_shows_stores_and_fetches(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    me = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    for arguments in (["add", "--all"], [*me, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)  # noqa: S607
    places = {"/mnt/store/paint": str(tmp_path / "store"), "/srv/dvc-cache": str(tmp_path / "cache")}
    ran = []
    for command in typed("dvc"):
        shown = command[1:3] in (["metrics", "show"], ["params", "diff"], ["plots", "show"], ["exp", "show"])
        kept = command[1:3] in (["cache", "dir"], ["remote", "add"]) and command[-1] in places
        if shown or kept or command[1] in ("config", "dag"):
            dvc(project, *(places.get(word, word) for word in command[1:]))
            ran.append(command[1])
    assert {"metrics", "params", "plots", "exp", "cache", "remote", "config", "dag"} == set(ran)
    # What is stored is fetched again.
    painting = project / "painting.txt"
    painting.write_text("a painting")
    dvc(project, "add", painting.name)
    dvc(project, "push", painting.name)
    shutil.rmtree(tmp_path / "cache")
    painting.unlink()
    dvc(project, "pull", painting.name)
    assert painting.read_text() == "a painting"
