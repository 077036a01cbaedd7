"""Text: what is shown is plain, whatever a source writes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.text import LONGEST, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Stag at Sharkey's", "Stag at Sharkey's"),
        (" <em>Calypso</em> &amp;\r\n  Odysseus\t", "Calypso & Odysseus"),
        ('<a href="//x.example" title="y">Name</a> (<b>b</b>)', "Name (b)"),
        ("Grün “a”\u2028b\u00a0c", "Grün “a” b c"),
        ("<script>alert(1)</script>Title<style>p {}</style>", "Title"),
        ("\x1b[31mred\x07\u202etxt\ud800\x00", "[31mredtxt"),
        ("x" * 600, "x" * 500),
        ("x" * 499 + " yz", "x" * 499),
        *((nothing, "unknown") for nothing in (None, "", " \n", "<br>", "&nbsp;", "\u200b")),
    ],
)
def test_text_is_made_plain(text: str | None, expected: str) -> None:
    assert plain(text, "unknown") == expected


@pytest.mark.parametrize("value", [["x"], 3, 0, False, {}, b"x", 1.5])
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        plain(value, "unknown")


@given(text=st.text() | st.text("<>&;/abc scriptyle\n", max_size=60))
def test_any_text_is_one_line_of_bounded_length(text: str) -> None:
    words = plain(text, "unknown")
    assert 1 <= len(words) <= LONGEST
    assert words.isprintable()
    assert words == words.strip()
