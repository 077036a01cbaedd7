import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from pipeline import cli
from pipeline.console import UserError
from pipeline.retraining import command
from pipeline.retraining.commands import AlreadyRunning, exclusive
from pipeline.retraining.progress import Run, Step
from tests.conftest import ROOT
from tests.retraining.project import CURRENT, frozen_rows, git, push, skill

PERSON = Path("../person")


def paint(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["retrain", *arguments])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    """What the webhook would be told."""
    messages: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(command, "notify", lambda message, **facts: messages.append((message, facts)))
    return messages


def pretend(monkeypatch: pytest.MonkeyPatch, outcome: Run | BaseException) -> None:
    def go_on(self: object) -> Run:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("pipeline.retraining.steps.Retraining.go_on", go_on)


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (Run(snapshot="2026-11-29", outcome="promoted", message="it is in service"), 0, None),
        (Run(snapshot="2026-11-29", outcome="unchanged", message="nothing to do"), 0, None),
        (Run(snapshot="2026-11-29", outcome="gated", message="it stays out"), 3, "it stays out"),
        (UserError("dvc repro failed: the museum is gone"), 1, "dvc repro failed: the museum is gone"),
        (OSError(28, "No space left on device", "a"), 1, "No space left on device (a); make room on the disk"),
        (OSError(5, "Input/output error"), 1, "Input/output error; run this again"),
        (KeyError("a"), 1, "a mistake of its own (KeyError)"),
        (SystemExit(143), 143, "stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_every_outcome_has_its_status_and_failures_are_told(
    clone: Path,
    told: list[tuple[str, dict[str, object]]],
    monkeypatch: pytest.MonkeyPatch,
    outcome: Run | BaseException,
    status: int,
    message: str | None,
) -> None:
    pretend(monkeypatch, outcome)
    result = paint()
    assert result.exit_code == status
    if isinstance(outcome, Run):
        assert outcome.message in result.output
    if message is None:
        assert not told
    else:
        [(said, facts)] = told
        assert message in said
        assert facts["exit_status"] == status


def test_code_that_came_with_the_update_is_called_anew(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def execv(path: str, arguments: list[str]) -> None:
        with exclusive(command.LOCK):  # it is free
            called.append([path, *arguments])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(sys, "argv", ["/venv/bin/paint", "retrain"])
    pretend(monkeypatch, Run(snapshot="2026-11-29", step=Step.REPRODUCE))
    paint()
    assert called == [[sys.executable, sys.executable, "/venv/bin/paint", "retrain"]]


def test_a_clone_named_relative_to_here_is_found_again_by_the_new_code(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: called.append(arguments))
    monkeypatch.setattr(sys, "argv", ["/venv/bin/paint", "retrain", "--clone", "clone"])
    monkeypatch.chdir("..")
    pretend(monkeypatch, Run(snapshot="2026-11-29", step=Step.REPRODUCE))
    paint("--clone", "clone")
    assert Path.cwd() == clone.parent
    assert called


def test_a_folder_that_is_no_clone_is_left_alone(tmp_path: Path) -> None:
    result = paint("--clone", str(tmp_path))
    assert isinstance(result.exception, UserError)
    assert "is not a clone of the project" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_three_scheduled_runs_with_dvc(
    clone: Path, told: list[tuple[str, dict[str, object]]], caplog: pytest.LogCaptureFixture
) -> None:
    """One is promoted, one is gated, one is killed and gone on with."""
    caplog.set_level("INFO")
    today = datetime.now().astimezone().date().isoformat()
    (PERSON / ".dvc").mkdir()
    for name in (".gitignore", "config"):
        shutil.copy(ROOT / ".dvc" / name, PERSON / ".dvc")
    with (PERSON / ".dvc/config").open("a") as file:
        file.write("    remote = store\n['remote \"store\"']\n    url = ../../store\n")
    push(PERSON)
    git("pull", "--quiet")

    first = paint()
    assert first.exit_code == 0, (first.output, told)
    [release] = git("tag", folder=Path("../remote.git")).split()
    assert release in first.output
    assert skill(CURRENT) == 0.9
    assert {CURRENT.read_bytes(), *(Path(row["path"]).read_bytes() for row in frozen_rows())} <= stored()
    assert not git("status", "--porcelain")

    tip = push(PERSON, skill="0.5")
    second = paint()
    assert second.exit_code == 3, (second.output, told)
    assert "balanced accuracy of sample is 0.500 instead of 0.900" in second.output
    assert [facts["exit_status"] for _, facts in told] == [3]
    assert skill(CURRENT) == 0.9
    assert skill(Path(".retrain/runs") / today / "classifier.safetensors") == 0.5
    assert git("rev-parse", "main", folder=Path("../remote.git")) == tip

    push(PERSON, skill="0.95")
    Path("slow").touch()
    code = "from pipeline.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, "retrain"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        end = time.monotonic() + 300  # on a busy machine
        while not Path("started").exists():
            assert time.monotonic() < end
            assert run.poll() is None
            time.sleep(0.05)
        assert paint().exit_code == 75
        stage = int(Path("started").read_text())
        run.send_signal(signal.SIGKILL)
    while psutil.pid_exists(stage) or is_locked():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert skill(CURRENT) == 0.9
    Path("slow").unlink()
    third = paint()
    assert third.exit_code == 0, (third.output, told)
    assert skill(CURRENT) == 0.95
    assert CURRENT.read_bytes() in stored()
    assert len(git("tag", folder=Path("../remote.git")).split()) == 2
    assert json.loads((Path("service/current/comparison.json")).read_text())["service"]["all"]["images"] == 2
    assert "going on with the snapshot" in command.LOG.read_text()


def stored() -> set[bytes]:
    return {path.read_bytes() for path in Path("../store").rglob("*") if path.is_file()}


def is_locked() -> bool:
    try:
        with exclusive(command.LOCK):
            return False
    except AlreadyRunning:
        return True
