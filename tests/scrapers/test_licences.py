"""Licences: what sources write is recognised, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.licences import URLS, identify


@pytest.mark.parametrize(
    ("statement", "identifier"),
    [
        *((statement, "CC0-1.0") for statement in ("CC0", "cc0", "CC-0", "CC0 1.0", "cc-zero", "CC0 1.0 Universal")),
        *(
            (statement, "CC-PDM-1.0")
            for statement in ("Public domain", "PD", "pdm", "Public Domain Mark 1.0", "CC PDM")
        ),
        *(
            (statement, "CC-BY-SA-4.0")
            for statement in ("CC BY-SA 4.0", "cc-by-sa", " CC\u00a0BY SA\n4.0 ", "CC_BY_SA-4.0")
        ),
        ("CC BY 2.0", "CC-BY-2.0"),
        ("CC BY-SA 3.0 us", "CC-BY-SA-3.0"),
        ("CC BY-SA 3.0 igo", "CC-BY-SA-3.0"),
        ("cc-by-nc", "CC-BY-NC-4.0"),
        ("cc-by-nc-sa", "CC-BY-NC-SA-4.0"),
        ("cc-by-nc-nd", "CC-BY-NC-ND-4.0"),
        ("CC BY-ND 2.5", "CC-BY-ND-2.5"),
    ],
)
def test_licence_is_recognised_however_it_is_written(statement: str, identifier: str) -> None:
    assert identify(statement) == identifier


@pytest.mark.parametrize("identifier", URLS)
def test_identifier_is_recognised_as_itself(identifier: str) -> None:
    assert identify(identifier) == identifier
    assert URLS[identifier].startswith("https://creativecommons.org/")


@pytest.mark.parametrize(
    "statement",
    [
        *("", " ", "Copyrighted", "All rights reserved", "GFDL", "PD-old-100", "Not in the public domain", "Public"),
        *("CC", "CC BY-FOO 4.0", "CC BY-SA 9.0", "CC BY-SA 4.0-3.0", "CC BY-ND-SA 4.0", "not CC0", "CC00"),
        *("CC BY-SA 4.0, all rights reserved", "cc0 or not", "CC BY \u0664.\u0660", "by-sa"),
    ],
)
def test_what_is_not_recognised_comes_back_as_it_is(statement: str) -> None:
    assert identify(statement) == statement


@given(
    statement=st.text(), words=st.lists(st.sampled_from(["cc", "by", "nc", "nd", "sa", "0", "4.0", "pd", "-", "not"]))
)
def test_no_statement_gains_a_licence_that_it_does_not_name(statement: str, words: list[str]) -> None:
    for text in (statement, "-".join(words), " ".join(words)):
        identifier = identify(text)
        assert identifier == text or identifier in URLS
        for term in ("nc", "nd", "sa"):
            if identifier in URLS and term in words and text is not statement:
                assert term.upper() in identifier.split("-")
