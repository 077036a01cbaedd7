import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.params import load_params
from pipeline.retraining.webhook import WEBHOOK
from tests.conftest import ROOT

UNITS = ROOT / "docs" / "systemd"
DOCUMENT = (ROOT / "docs/retraining.md").read_text()


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_a_stop_takes_all_processes_and_leaves_time_for_it() -> None:
    service = unit("paint-retrain.service")["Service"]
    assert service["KillMode"] == "control-group"
    assert service["Type"] == "oneshot"
    assert service["TimeoutStopSec"] == "2min"
    assert service["RestartPreventExitStatus"] == "3"
    assert unit("paint-retrain.timer")["Timer"]["Persistent"] == "true"


def test_the_time_of_a_full_run_is_within_that_of_the_service() -> None:
    days = int(unit("paint-retrain.service")["Service"]["TimeoutStartSec"].removesuffix("d"))
    full = re.findall(r"_timeout_h: .*full run: (\d+)", (ROOT / "params.yaml").read_text())
    assert sum(map(int, full)) < 24 * days
    settings = load_params(ROOT / "params.yaml").retrain
    assert settings.repro_timeout_h + settings.push_timeout_h < 24 * days


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = tmp_path / "paint"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS.glob("paint-retrain.[st]*"):
        text = path.read_text().replace("/srv/paint-your-video/.venv/bin/paint", str(program))
        (tmp_path / path.name).write_text(text.replace("User=paint", "User=root"))
    units = [str(tmp_path / f"paint-retrain.{kind}") for kind in ("service", "timer")]
    answer = subprocess.run(
        [shutil.which("systemd-analyze") or "", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "paint-retrain" not in answer.stderr


def test_cron_runs_the_same_command() -> None:
    command = unit("paint-retrain.service")["Service"]["ExecStart"]
    [line] = [line for line in (UNITS / "paint-retrain.cron").read_text().splitlines() if not line.startswith("#")]
    assert re.match(r"\d+ \d+ \* \* \d  set -a; ", line)
    assert command.removeprefix("/srv/paint-your-video/") in line
    assert "cd /srv/paint-your-video && " in line


def test_the_document_and_the_help_name_the_same_statuses() -> None:
    table = {int(number) for number in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    answer = CliRunner().invoke(cli.app, ["retrain", "--help"]).output
    assert table == {int(number) for number in re.findall(r"^    (\d+) ", answer, re.MULTILINE)} == {0, 1, 3, 75, 143}
    assert WEBHOOK in DOCUMENT
    assert WEBHOOK in answer
