"""The tour of the code and the README's layout are of the code that is there."""

import re

import pytest
import yaml

from tests.conftest import ROOT

PACKAGES = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("[a-z]*/**/__init__.py")}
TOUR = (ROOT / "docs/tour.md").read_text()


def named(text: str) -> set[str]:
    """Files and folders that a page names in code spans."""
    return set(re.findall(r"`((?:pipeline|scrapers|benchmarks|tests|docs|data|\.ci)/[\w./-]*)`", text))


@pytest.mark.parametrize("page", ["docs/tour.md", "README.md"])
def test_every_module_that_is_named_exists(page: str) -> None:
    code = {name for name in named((ROOT / page).read_text()) if not name.startswith("data/")}
    assert not {name for name in code if not (ROOT / name).exists()}


def test_the_tour_names_every_package_and_stage() -> None:
    folders = {name.rstrip("/") for name in named(TOUR)}
    assert not {name for name in PACKAGES if not name.startswith("tests/")} - folders
    stages = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    assert stages <= set(re.findall(r"\*\*`(\w+)`\*\*", TOUR))


def test_a_module_can_be_read_at_one_sitting() -> None:
    """Settings apart, which are one list."""
    lines = {
        path.relative_to(ROOT).as_posix(): path.read_text().count("\n")
        for package in ("pipeline", "scrapers", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name for name, count in lines.items() if count > 300} <= {"pipeline/params.py"}
