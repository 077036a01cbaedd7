"""The promises of ``dvc.yaml``, asked of DVC itself; the table of what reruns is that of ``docs/pipeline.md``."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

PLUMBING = {"pipeline/__init__.py", "pipeline/stages/__init__.py", "pipeline/painting/__init__.py"} | {
    f"pipeline/{name}.py" for name in ("console", "files", "params", "redaction", "tables", "tallies")
}
"""Code that carries settings and files from one place to another and shapes no result."""

PAGE = (ROOT / "docs/pipeline.md").read_text()
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage) for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()
}


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC in ``folder``; what it prints, on either stream."""
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def copy_project(folder: Path) -> Path:
    """The files under version control, as a repository of their own."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)  # noqa: S607
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which every stage has run, as far as DVC can tell: each output holds its own name."""
    folder = copy_project(tmp_path_factory.mktemp("finished"))
    for line in dvc(folder, "stage", "list", "--all", "--name-only").split():
        stage, _, item = line.partition("@")
        for out in outputs(STAGES[stage], item):
            path = folder / out
            target = path if path.suffix else path / "file"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(out)
    for style in yaml.safe_load((folder / "params.yaml").read_text())["styles"].values():
        (folder / style["source"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / style["source"]).write_text("a crawled painting")
    dvc(folder, "commit", "--force")
    return folder


def outputs(stage: dict[str, Any], item: str = "") -> list[str]:
    """The paths of all outputs, metrics and plots of a stage."""
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [(entry if isinstance(entry, str) else next(iter(entry))).replace("${key}", item) for entry in entries]


def kept_in_git(out: str | dict[str, dict[str, Any]]) -> bool:
    """Whether an output is small, and DVC leaves it to git."""
    return isinstance(out, dict) and not next(iter(out.values())).get("cache", True)


def would_run(folder: Path) -> set[str]:
    """The stages that DVC would run, those that depend on another's output among them."""
    answer = dvc(folder, "repro", "--dry", "--force-downstream")
    return {name.partition("@")[0] for name in re.findall(r"Running stage '([^']+)'", answer)}


def documented() -> list[tuple[str, set[str]]]:
    """What was changed, and the stages that run again, as the page says."""
    rows = re.findall(r"^\| `([^`]+)` \| ((?:`[a-z]+`(?:, )?)+) \|$", PAGE, re.MULTILINE)
    return [(changed, set(re.findall(r"`([a-z]+)`", stages))) for changed, stages in rows]


def test_nothing_runs_when_nothing_changed(finished: Path) -> None:
    assert would_run(finished) == set()
    assert "up to date" in dvc(finished, "status")


def test_every_row_of_the_page_is_tested() -> None:
    table = PAGE.split("| changed | stages that run |\n|---|---|\n")[1].split("\n\n")[0]
    assert len(documented()) == len(table.splitlines())


@pytest.mark.parametrize(("changed", "stages"), documented(), ids=[changed for changed, _ in documented()])
def test_exactly_what_depends_on_a_change_reruns(finished: Path, changed: str, stages: set[str]) -> None:
    path = finished / (changed if changed.endswith(".py") else "params.yaml")
    before = path.read_text()
    if changed.endswith(".py"):
        path.write_text(before + "\n# changed\n")
    else:
        params = yaml.safe_load(before)
        *parents, last = changed.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = other_value(section[last])
        path.write_text(yaml.safe_dump(params))
    try:
        assert would_run(finished) == stages
    finally:
        path.write_text(before)


def other_value(value: Any) -> Any:
    if isinstance(value, list):
        return [*value, "other/1"]
    return value + ("1" if isinstance(value, str) else 1)


def test_a_clone_with_no_data_knows_what_there_is_to_do(finished: Path, tmp_path: Path) -> None:
    """DVC 3.67 cannot hash what is not there, so a plain --dry stops at the first missing input; these two do not."""
    clone = copy_project(tmp_path)
    shutil.copy(finished / "dvc.lock", clone)
    for folder in ("data/metrics", "data/plots"):
        shutil.copytree(finished / folder, clone / folder, dirs_exist_ok=True)
    assert "up to date" in dvc(clone, "repro", "--dry", "--allow-missing")
    everything = dvc(clone, "repro", "--dry", "--force")
    assert {name.partition("@")[0] for name in re.findall(r"Running stage '([^']+)'", everything)} == set(STAGES)


def test_every_large_output_is_ignored_by_git_whatever_fails() -> None:
    """DVC takes its own entries back when a later stage fails, so they have to be committed."""
    for stage in STAGES.values():
        for out in outputs({"outs": [out for out in stage.get("outs", []) if not kept_in_git(out)]}, "any"):
            ignored = subprocess.run(["git", "check-ignore", "--quiet", out], cwd=ROOT, check=False)  # noqa: S607
            assert ignored.returncode == 0, out


@pytest.mark.parametrize("name", STAGES)
def test_the_code_a_stage_uses_is_what_it_depends_on(name: str) -> None:
    command = STAGES[name]["cmd"].split()
    module = Path(*command[command.index("-m") + 1].split(".")).with_suffix(".py")
    used = {path for path in imported_files(module) if path.as_posix() not in PLUMBING}
    listed = {Path(dep) for dep in STAGES[name]["deps"] if dep.startswith(("pipeline", "scrapers"))}
    code = {dep for dep in listed if (ROOT / dep).suffix == ".py" or any((ROOT / dep).rglob("*.py"))}
    assert not {path for path in used if not {path, *path.parents} & code}, "used, but not among the deps"
    assert not {dep for dep in code if not any({path, *path.parents} & {dep} for path in used)}, "listed, but not used"


def imported_files(module: Path) -> set[Path]:
    """The module and all of the project's own modules that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for imported in names:
                base = Path(*imported.split("."))
                waiting += [p for p in (base.with_suffix(".py"), base / "__init__.py") if (ROOT / p).is_file()]
    return found
