import os
import shutil
from pathlib import Path

import pytest
import yaml

from tests.retraining.project import make_project


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk, nor for settings that are read again and again."""
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda number: None)
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsync", "GIT_CONFIG_VALUE_0": "none"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(yaml, "safe_load", lambda text: yaml.load(text, yaml.CSafeLoader))


@pytest.fixture(scope="session")
def _project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def clone(_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A little project's clone to retrain in, as the current folder; where DVC stores is ``../store``."""
    shutil.copytree(_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"
