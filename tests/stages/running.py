"""Runs stages as people do: in processes of their own, in the current folder."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT


def start(stage: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m pipeline.stages.STAGE``."""
    command = [sys.executable, "-W", "error", "-m", f"pipeline.stages.{stage}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(stage: str, *arguments: str) -> str:
    """Run a stage to its end, which must be a good one, and return what it said on the way."""
    with start(stage, *arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return errors


def error(stage: str, *arguments: str) -> str:
    """Run a stage that must end with exit 1 and one sentence, and return the sentence."""
    with start(stage, *arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors, errors
    sentence = errors.splitlines()[-1]
    assert sentence.startswith("error: ")
    return sentence


def edit_crawl(**values: Any) -> None:
    """Change values below ``crawl`` in the current folder's ``params.yaml``."""
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text())
    params["crawl"].update(values)
    path.write_text(yaml.safe_dump(params))
