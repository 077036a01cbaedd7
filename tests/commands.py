"""Commands as people type them, checked as far as that costs nothing: their own parsers take them, and nothing runs."""

import argparse
import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli import parse_args as parse_dvc  # type: ignore[import-untyped]
from typer.main import get_command

from pipeline.cli import app
from tests.conftest import ROOT

OTHERS = {".", "cd", "cp", "git", "journalctl", "ln", "mkdir", "mv", "ray", "sudo", "systemctl"}
"""Programs that are not ours: bash has looked at the line, that is all."""
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
STAGES = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
OPERATORS = {"&&", "||", ";", "|", "&"}


class ParsedError(Exception):
    """The parser has taken the arguments; here the command ends."""


def split_commands(line: str) -> Iterator[list[str]]:
    """The commands of one line of shell, each as its words."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    command: list[str] = []
    for word in words:
        if word not in OPERATORS:
            command.append(word)
        elif command:
            yield command
            command = []
    if command:
        yield command


def check(command: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail for a command that does not exist or that would not take these arguments."""
    program, *arguments = dropwhile(lambda word: "=" in word, command)  # variables of its environment come first
    match program.rpartition("/")[2]:
        case "paint":
            parse_paint(arguments)
        case "python" if arguments[0] == "-m":
            parse_module(arguments[1], arguments[2:], monkeypatch)
        case "python":
            assert arguments[0] in ("-c", "own.py"), "a script that nobody has"  # own.py stands in the recipes
        case "dvc":
            check_dvc(arguments)
        case "make":
            assert {word for word in arguments if "=" not in word} <= TARGETS
        case "pip":
            assert importlib.import_module("pip._internal.commands").create_command(arguments[0])
        case name:
            assert name in OTHERS, f"nobody checks {name}"


def parse_paint(arguments: Sequence[str]) -> None:
    """Parse to the last option, as far as values can be checked before a file is opened."""
    command: Any = get_command(app)
    words = list(arguments)
    while hasattr(command, "resolve_command"):
        context = command.make_context("paint", words, resilient_parsing=True)
        _, command, words = command.resolve_command(context, words)
    command.make_context("paint", words)


def parse_module(name: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ``main`` of a module parse its arguments, and stop it there."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
        parse(self, argv)
        raise ParsedError

    if (ROOT / Path(*name.split("."))).is_dir():
        name += ".__main__"
    main = importlib.import_module(name).main
    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(ParsedError):
            main(list(arguments)) if inspect.signature(main).parameters else main()


def check_dvc(arguments: Sequence[str]) -> None:
    """Let DVC parse its arguments; stages have to be those of ``dvc.yaml``, of any item."""
    parsed = parse_dvc(list(arguments))
    if arguments[0] == "repro":
        assert {target.partition("@")[0] for target in parsed.targets} <= STAGES
