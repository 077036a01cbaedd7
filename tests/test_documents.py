"""The documents keep what they promise: their commands, settings, programs, messages and links are those of the code.

What is cheap runs for real: ``dvc stage list``, ``make help``, the programs of the recipes, and ``dvc repro --dry`` in
every way that is documented (in ``test_dvc.py``). What paints, and the recipe for pictures of one's own, runs on small
pictures in ``test_typed.py``. All other commands, which train or crawl, are parsed by the parsers that they would meet,
and end there; of programs that are not ours bash checks the grammar alone.
"""

import ast
import asyncio
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import main as dvc  # type: ignore[import-untyped]
from pydantic import TypeAdapter

from pipeline.manifest import load_manifest
from pipeline.params import Params, load_params
from pipeline.stages.prepare import IMAGES, MANIFEST, Rejection, decode_one
from scrapers.items import LABELS
from scrapers.spiders.museum import MuseumSpider
from tests.commands import check, split_commands
from tests.conftest import ROOT
from tests.pictures import scene
from tests.scrapers.spiders.answering import report
from tests.test_dvc import copy_project

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = ("dvc ", "make ", "paint ", "pip install", "python -m ")
SAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def blocks(language: str) -> list[tuple[str, str]]:
    """The fenced blocks of a language, each with the name of its page."""
    return [(page, body) for page, text in PAGES.items() for found, body in FENCED.findall(text) if found == language]


def commands() -> list[str]:
    """Every command: all lines of the shell blocks, and the code spans that are one of ours with arguments."""
    lines = [line for _, block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    spans = [span for text in PAGES.values() for span in re.findall(r"`([^`\n]+)`", FENCED.sub("", text))]
    partial = re.compile(r"paint (\w+|video --fast)$|dvc (remote add|metrics diff)$|make room ")
    typed = [span for span in spans if span.startswith(OURS) and not partial.match(span)]
    return sorted({line.strip() for line in [*lines, *typed]} - {""})


@pytest.mark.parametrize("line", commands())
@pytest.mark.usefixtures("workspace")  # some want to be in a folder of their own
def test_a_command_is_one_that_its_program_takes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in split_commands(line):
        check(command, monkeypatch)


def test_a_command_that_nothing_takes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("paint video a.mp4", "make rep", "dvc repro finetun", "curl x", "python -m pipeline.stages.mixes"):
        with pytest.raises((Exception, SystemExit)):
            check(line.split(), monkeypatch)


@pytest.mark.parametrize(("page", "block"), blocks("sh"), ids=lambda value: value[:24])
def test_bash_understands_each_block(page: str, block: str) -> None:
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)  # noqa: S607


def test_what_only_reads_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copy_project(tmp_path))
    assert dvc(["stage", "list"]) == 0
    assert "finetune" in capsys.readouterr().out
    helped = subprocess.run(["make", "help"], capture_output=True, text=True, check=True)  # noqa: S607
    assert "make repro" in helped.stdout


@pytest.mark.parametrize(("page", "block"), blocks("yaml"), ids=lambda value: value[:24])
def test_settings_are_such_as_the_stages_take(page: str, block: str) -> None:
    settings = yaml.safe_load(block.replace("example.org", "museum-lovers.net").replace("sample, example", "sample"))
    assert set(settings) <= set(SAMPLE)
    named = {name: {"source": f"pictures/{name}.jpg"} for name in ("scream", "muse")}
    TypeAdapter(Params).validate_python(merged(merged(SAMPLE, {"styles": named}), settings))


def merged(settings: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Settings with others put beside or in place of what is there, at any depth."""

    def one(name: str, value: Any) -> Any:
        here = settings.get(name)
        return merged(here, value) if isinstance(here, dict) and isinstance(value, dict) else value

    return settings | {name: one(name, value) for name, value in more.items()}


def recipe(page: str, beginning: str) -> str:
    """The program of a page that begins so."""
    (found,) = (block for where, block in blocks("python") if where == page and block.startswith(f'"""{beginning}'))
    return found


def test_pictures_of_your_own_become_what_a_crawl_brings_home(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = recipe("docs/recipes.md", "Make the pictures")
    for number, (source, label, _) in enumerate(product(("attic", "phone"), LABELS, range(4))):
        folder = workspace / "pictures" / source / label
        folder.mkdir(parents=True, exist_ok=True)
        scene(seed=number).save(folder / f"picture {number}.png")
    monkeypatch.setattr(sys, "argv", ["own.py", "pictures"])
    exec(compile(script, "own.py", "exec"), {"__name__": "__main__"})  # noqa: S102
    works = load_manifest(MANIFEST)
    assert len({work.group for work in works}) == 16
    for work in works:
        (IMAGES / work.source / work.label).mkdir(parents=True, exist_ok=True)
        assert not isinstance(decode_one(work, load_params().prepare), Rejection)


def test_a_spider_of_your_own_reads_its_museum() -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(recipe("docs/recipes.md", "The Example Museum"), "example.py", "exec"), names)  # noqa: S102
    spider: type[MuseumSpider] = names["ExampleSpider"]
    record = {"id": 1, "licence": "CC0", "image": "https://images.museum.example/1.jpg", "title": "<i>Sea</i>"}
    record |= {"artist": None, "year": 1900, "page": "https://museum.example/1"}
    others = [record | {"id": 2, "licence": "all rights reserved"}, {"id": 3}]
    address = f"{names['WORKS']}?kind=Painting&page="
    answers = {f"{address}0": {"works": [record, *others]}, f"{address}1": {"works": []}}
    walked = asyncio.run(report(spider, "painting", answers))
    assert [(work.title, work.creator) for work in walked.works] == [("Sea", "unknown")]
    assert (walked.counts["painting/dropped"], walked.counts["painting/passed"]) == (1, 1)


def said() -> str:
    """Every text of the code, one a line, with a tab for each value that is filled in."""
    texts = []
    for path in (path for package in ("pipeline", "scrapers") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"%(?:\.\d)?[dfgrs]", "\t", node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\t" for part in node.values)
                texts.append("".join(map(str, parts)))
    return "\n".join([*(text.replace("\n", " ") for text in texts), (ROOT / "Makefile").read_text()])


def test_every_message_is_one_of_the_code() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ", PAGES["docs/troubleshooting.md"], re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    code = said()
    assert len(messages) > 60

    def known(message: str) -> bool:
        text = re.escape(re.sub(r"^http-.*", "http-\t", message).strip(". ")).replace(r"\.\.\.", ".*")
        return re.search(text, code) is not None

    assert not [message for message in messages if not known(message)]


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGES[page])):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
