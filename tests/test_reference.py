"""The page of parameters: up to date, whole, and as strict as what a stage checks."""

from pathlib import Path

import pytest

from pipeline.reference import PAGE, describe, main, read_written, render_reference
from tests.conftest import ROOT

TEXT = (ROOT / "params.yaml").read_text()
ROWS = [line.split(" | ") for line in render_reference(TEXT).splitlines() if line.startswith("| `")]


def test_the_page_is_up_to_date(workspace: Path) -> None:
    main([])
    assert PAGE.read_text() == (ROOT / PAGE).read_text(), "run python -m pipeline.reference"


def test_every_parameter_has_a_meaning() -> None:
    assert not [row[0] for row in ROWS if not row[-1].strip(" |")]


def test_every_parameter_of_the_file_has_a_row() -> None:
    rows = {row[0].strip("| `") for row in ROWS}
    fields = {
        ".".join(place) for place in read_written(TEXT) if len(place) == 2 and place[0] not in ("clips", "styles")
    }
    assert fields <= rows
    assert {"clips.<name>.source", "styles.<name>.source", "stylize.jobs.<name>.styles_at_end"} <= rows


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        (
            "crawl.min_per_class",
            ["`100`", "10000", "whole number, at least 1", "fewer than this of a class"],
        ),
        ("crawl.hosts.<name>.delay_s", ["`1.0`", "", "number, at least 0", "From one request to the next"]),
        ("stylize.multipass", ["`null`", "", "as below or null", "Ruder 2016 has {passes: 15"]),
        ("stylize.multipass.passes", ["", "", "whole number, at least 2", "Forwards and backwards"]),
        ("stylize.jobs.<name>.clip", ["`street`", "", "text, as `^[a-z0-9]", "One of those under clips."]),
        (
            "distill.steps",
            ["`120`", "20000; of a style that is added: 2000", "whole number, at least 1", "a mul"],
        ),
        ("flow.finest_scale", ["`0`", "", "whole number, at least 0, at most 4", "DIS: 0 is full resolution"]),
        ("weights.source", ["`wheel`", "", "text", "wheel \\| torchvision \\| path"]),
    ],
)
def test_a_row_says_what_stands_in_the_file_and_in_the_code(name: str, cells: list[str]) -> None:
    (row,) = (row for row in ROWS if row[0] == f"| `{name}`")
    assert row[1:4] == cells[:3] if "as `" not in cells[2] else row[3].startswith(cells[2])
    assert row[4].startswith(cells[3])


def test_a_comment_goes_on_in_its_column_only() -> None:
    text = 'a:       # first\n  b: "# c"   # one,\n             # two\n  # none\n  d: [1,\n    2]\n  e: {f: 1}\n'
    written = read_written(text)
    assert written[("a",)] == ("", "first")
    assert written[("a", "b")].comment == "one, two"
    assert written[("a", "d")] == ("[1,\n    2]", "")
    assert written[("a", "e", "f")] == ("1", "")


def test_types_and_limits_are_put_into_words() -> None:
    assert describe({"type": "number", "exclusiveMinimum": 0, "maximum": 1}) == "number, more than 0, at most 1"
    assert describe({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "text or null"
    assert describe({"type": "object", "additionalProperties": {"type": "integer"}}) == "by name: whole number"
    list_of = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1}
    assert describe(list_of) == "list of at least one: `a` or `b`"
