"""A project whose stages are one little script, its remote, and the commands of a run without DVC."""

import csv
import hashlib
import json
import runpy
import shutil
import subprocess
import unittest.mock
from collections.abc import Callable
from datetime import date
from pathlib import Path

from pipeline.console import UserError
from pipeline.retraining.commands import Commands
from pipeline.retraining.progress import Run
from pipeline.retraining.steps import Retraining
from tests.conftest import ROOT

DAY = date(2026, 11, 29)
MODEL = Path("data/models/classifier.safetensors")
CURRENT = Path("service/current/classifier.safetensors")

STAGE = """
import csv, json, os, re, sys, time
from pathlib import Path
snapshot = re.search(r'  snapshot: *"([^"]*)"', Path("params.yaml").read_text())[1]
if Path("down").exists():
    sys.exit("error: the museum does not answer")
if Path("slow").exists():
    Path("started").write_text(str(os.getpid()))
    time.sleep(60)
for name in ("index", "images/sample/photo", "prepare", "models", "metrics"):
    Path("data", name).mkdir(parents=True, exist_ok=True)
rows = [(f"work-{n}", ("painting", "photo")[n % 2], ("train", "validation", "test")[n // 2]) for n in range(6)]
works = []
for name, label, split in rows:
    address = f"https://example.org/{name}.jpg"
    works.append(dict(source="sample", id=name, label=label, group=name, title="A", creator="B", year=None,
        licence="CC0-1.0", licence_url=address, page_url=address, image_url=address, width_px=9, height_px=9))
    Path("data/images/sample/photo", name + ".jpg").write_text(name)
Path("data/index/manifest.jsonl").write_text("".join(json.dumps(work) + "\\n" for work in works))
with open("data/prepare/accepted.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["path", "source", "label", "id", "group", "split", "phash"])
    for number, (name, label, split) in enumerate(rows):
        path = f"data/images/sample/photo/{name}.jpg"
        table.writerow([path, "sample", label, name, f"sample/{name}", split, f"{number * 0x1111111111111111:016x}"])
skill = Path("skill.txt").read_text().strip()
Path("data/models/classifier.safetensors").write_text(json.dumps({"skill": float(skill), "snapshot": snapshot}))
Path("data/models/model_card.md").write_text(f"# Trained on {snapshot}")
Path("data/metrics/classifier.json").write_text(json.dumps({"skill": float(skill)}))
"""

COMPARISON = """
import argparse, json
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--output"); parser.add_argument("--service")
arguments = parser.parse_args()
def judge(path):
    skill = json.loads(Path(path).read_text())["skill"]
    figures = {"images": 2, "balanced_accuracy": skill, "calibration_error": 0.05}
    return {"all": figures, "sources": {"sample": figures}}
found = {"new": judge("data/models/classifier.safetensors")}
found["service"] = arguments.service and judge(arguments.service)
Path(arguments.output).write_text(json.dumps(found))
"""

DVC_YAML = """
stages:
  all:
    cmd: python stage.py
    deps: [stage.py, skill.txt, data/frozen.csv]
    params: [crawl.snapshot]
    outs: [data/index, data/images, data/prepare, data/models]
    metrics:
      - data/metrics/classifier.json: {cache: false}
"""


def git(*arguments: str, folder: Path = Path()) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def make_project(folder: Path) -> Path:
    """Fill ``folder``: ``remote.git``, a person's clone ``person``, the ``clone`` to retrain in, ``store`` for DVC."""
    remote, person, clone = (folder / name for name in ("remote.git", "person", "clone"))
    git("init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git("clone", "--quiet", str(remote), str(person))
    for name, text in {
        "stage.py": STAGE,
        "skill.txt": "0.9",
        "pipeline/__init__.py": "",
        "pipeline/retraining/__init__.py": "",
        "pipeline/retraining/comparison.py": COMPARISON,
        "dvc.yaml": DVC_YAML,
        "data/frozen.csv": "path,source,label,id,group,phash\n",
    }.items():
        (person / name).parent.mkdir(parents=True, exist_ok=True)
        (person / name).write_text(text)
    for name in ("params.yaml", ".gitignore"):
        shutil.copy(ROOT / name, person)
    with (person / ".gitignore").open("a") as file:
        file.write("down\nslow\nstarted\nmade\n")
    push(person, "checkout", "-b", "main")
    git("clone", "--quiet", str(remote), str(clone))
    for name, value in {"user.name": "Box", "user.email": "box@example.org"}.items():
        git("config", name, value, folder=clone)
    for each in (person, clone):
        git("config", "remote.origin.url", "../remote.git", folder=each)  # the folder is copied
    (folder / "store").mkdir()
    return folder


def push(person: Path, *command: str, **files: str) -> str:
    """A person's commit, with ``files`` by their stem; returns it."""
    if command:
        git(*command, folder=person)
    else:
        git("pull", "--quiet", folder=person)
    for stem, text in files.items():
        (person / f"{stem}.txt").write_text(text)
    git("add", "--all", folder=person)
    git("commit", "--quiet", "--message", "By hand", folder=person)
    git("push", "--quiet", "origin", "main", folder=person)
    return git("rev-parse", "HEAD", folder=person)


class LittleCommands(Commands):
    """Git as it is; instead of DVC and the comparison, what they come to. ``before`` is told of each, and may raise."""

    def __init__(self, before: Callable[[str], None] = lambda name: None) -> None:
        super().__init__(-1)
        self._before = before
        self.names: list[str] = []

    def run(self, name: str, *command: str, timeout_s: float) -> None:
        self._before(name)
        self.names.append(name)
        if name in ("dvc repro", "comparison"):
            path = "stage.py" if name == "dvc repro" else "pipeline/retraining/comparison.py"
            try:
                with unittest.mock.patch("sys.argv", [path, *command[3:]]):
                    runpy.run_path(path)
            except SystemExit as error:
                raise UserError(f"{name} failed: {error.code}") from None
            if name == "dvc repro":
                Path("dvc.lock").write_text(MODEL.read_text())
            return
        if name.startswith("dvc add"):
            files = sorted(Path("data/frozen").rglob("*.jpg"))
            Path("data/frozen.dvc").write_text(" ".join(path.name for path in files))
            return
        if name == "dvc push":
            store = Path("../store")
            if not store.exists():
                raise UserError("dvc push failed: the remote does not answer")
            shutil.copy(MODEL, store / hashlib.sha256(MODEL.read_bytes()).hexdigest())
            return
        if name.startswith("dvc"):
            return
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise UserError(f"{name} failed: {answer.stderr.strip()}")


def retrain(before: Callable[[str], None] = lambda name: None, day: date = DAY) -> Run:
    """A run in the current folder."""
    return Retraining(LittleCommands(before), day).go_on()


def frozen_rows() -> list[dict[str, str]]:
    with Path("data/frozen.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def skill(path: Path) -> float:
    return float(json.loads(path.read_text())["skill"])
