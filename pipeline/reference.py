"""The reference of every parameter, ``docs/parameters.md``: from the code, and from the comments of ``params.yaml``.

Types and limits are those that every stage checks, so that the page promises no others.

    python -m pipeline.reference
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import TypeAdapter

from pipeline.console import run
from pipeline.files import write_text
from pipeline.params import PARAMS, Params

PAGE = Path("docs/parameters.md")
INTRODUCTION = """# Every parameter

Written by `python -m pipeline.reference` from `pipeline/params.py` and `params.yaml`: change those, not this page.

*Sample* is the value in `params.yaml`, *full run* the one for 20,000 pictures and a clip in its own size where that is
another. A value of another type or beyond its limits ends a stage before it begins, with one line that names the
parameter. `<name>` is a name of yours, of small letters, digits and hyphens, or under `crawl.hosts` the name of a host.
"""
HEAD = "| parameter | sample | full run | type and limits | meaning |\n|---|---|---|---|---|\n"
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "pattern": "as `{}`",
}

log = logging.getLogger(__name__)
Schema = dict[str, Any]
Place = tuple[str, ...]


class Written(NamedTuple):
    """What stands in ``params.yaml`` at one place; of a block, which goes over several lines, no value."""

    value: str
    comment: str


class Parameter(NamedTuple):
    """One row of the page."""

    name: str
    sample: str
    full_run: str
    type: str
    meaning: str


def main(argv: Sequence[str]) -> None:
    """Write the page."""
    argparse.ArgumentParser(prog="reference", description=__doc__.splitlines()[0]).parse_args(argv)
    write_text(PAGE, render_reference(PARAMS.read_text(encoding="utf-8")))
    log.info("%s: written", PAGE)


def render_reference(text: str) -> str:
    """The page as Markdown, for a text of ``params.yaml``."""
    schema = TypeAdapter(Params).json_schema()
    written = read_written(text)
    page = INTRODUCTION
    for section, part in schema["properties"].items():
        rows = [row for row in parameters(schema["$defs"], part, section, (section,), written) if "." in row.name]
        about = schema["$defs"][_inner(part)[1]]["description"].replace("``", "`")
        page += f"\n## {section}\n\n{about}\n\n{HEAD}"
        for row in rows:
            cells = [cell.replace("|", r"\|") for cell in (f"`{row.name}`", row.sample and f"`{row.sample}`", *row[2:])]
            page += f"| {' | '.join(cells)} |\n"
    return page


def parameters(
    types: dict[str, Schema], schema: Schema, name: str, place: Place, written: dict[Place, Written]
) -> Iterator[Parameter]:
    """The parameter ``name``, found at ``place``, and all below it; what is below any ``<name>``, once."""
    value, comment = written.get(place, Written("", ""))
    meaning, _, full_run = comment.partition("full run: ")
    meaning = meaning.strip(" ;") or schema.get("description", "")
    yield Parameter(name, value, full_run, describe(schema), meaning)
    step, inner = _inner(schema)
    if step:
        name += f".{step}"
        place = ([each for each in written if each[:-1] == place] or [place])[-1]
    if inner:
        for field, part in types[inner]["properties"].items():
            yield from parameters(types, part, f"{name}.{field}", (*place, field), written)


def _inner(schema: Schema) -> tuple[str, str]:
    """The dataclass that a parameter holds, after ``<name>`` where it holds one for each name; or nothing."""
    for step, each in (("", schema), *(("", each) for each in schema.get("anyOf", ())), ("<name>", _values(schema))):
        if "$ref" in each:
            return step, each["$ref"].rpartition("/")[2]
    return "", ""


def _values(schema: Schema) -> Schema:
    """What a mapping maps its names to."""
    named: Schema = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
    return named


def describe(schema: Schema) -> str:
    """A type and its limits, in words."""
    if "anyOf" in schema:
        return " or ".join(map(describe, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "$ref" in schema:
        return "as below"
    if schema["type"] == "array":
        return f"list{' of at least one' if schema.get('minItems') else ''}: {describe(schema['items'])}"
    if schema["type"] == "object":
        return f"by name: {describe(_values(schema))}"
    limits = (limit.format(schema[key]) for key, limit in LIMITS.items() if key in schema)
    return ", ".join((TYPES[schema["type"]], *limits))


def read_written(text: str) -> dict[Place, Written]:
    """Values and comments of a YAML file, by their place; a comment belongs to the first name on its line."""
    comments = _comments(text)

    def walk(node: yaml.MappingNode, above: Place) -> Iterator[tuple[Place, Written]]:
        for key, value in node.value:
            block = isinstance(value, yaml.MappingNode) and not value.flow_style
            source = "" if block else text[value.start_mark.index : value.end_mark.index]
            yield (place := (*above, key.value)), Written(source, comments.pop(key.start_mark.line, ""))
            if isinstance(value, yaml.MappingNode):
                yield from walk(value, place)

    root = yaml.compose(text, yaml.SafeLoader)
    return dict(walk(root, ())) if isinstance(root, yaml.MappingNode) else {}


def _comments(text: str) -> dict[int, str]:
    """The comments behind values, by the number of their line, each with what goes on below it in the same column."""
    found: dict[int, str] = {}
    number = column = -1
    for each, line in enumerate(text.splitlines()):
        before, mark, comment = line.partition(" # ")
        if before.strip():
            number, column = each, len(before)
        if mark and len(before) == column:
            found[number] = f"{found.get(number, '')} {comment.strip()}".strip()
        else:
            column = -1
    return found


if __name__ == "__main__":
    run(main)
