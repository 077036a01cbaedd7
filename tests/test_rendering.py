import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rendering import duration, escape_markdown, percent, significant


@given(st.text())
def test_escaped_markdown_is_one_line_of_plain_text(text: str) -> None:
    escaped = escape_markdown(text)
    assert len(escaped.splitlines()) <= 1
    assert re.sub(r"\\(.)", r"\1", escaped) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]<>|&~#]", re.sub(r"\\[^\\]", "", escaped))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00012345, "0.000123"),
        (-0.5, "-0.500"),
        (1, "1.00"),
        (0.9996, "1.00"),
        (14.26, "14.3"),
        (123456.7, "123,457"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_what_was_not_measured_is_a_dash() -> None:
    assert significant(None) == percent(None) == "\N{EN DASH}"
    assert percent(0.125) == "12.5%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0214, "21 ms"), (0.7, "700 ms"), (7.14, "7.1 s"), (119, "119.0 s"), (171, "2.9 min"), (9000, "2.5 h")],
)
def test_durations_have_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text
