"""Numbers of records, and the order of places."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.spiders.paging import last_id, spread


def test_last_number_is_that_of_the_records_that_have_one() -> None:
    assert last_id([{"id": 3}, None, {"id": 7}, {"id": "9"}, {"id": None}, {}, "x"]) == 7


@pytest.mark.parametrize("page", [[], [None, {}, {"id": "9"}]])
def test_page_without_a_number_has_no_last_one(page: list[Any]) -> None:
    with pytest.raises(ValueError, match="empty"):
        last_id(page)


@given(st.integers(1, 500))
def test_every_place_has_its_turn(count: int) -> None:
    assert sorted(spread(count)) == list(range(count))


@pytest.mark.parametrize("count", [40, 53, 200])
def test_any_beginning_reaches_all_quarters(count: int) -> None:
    assert {place * 4 // count for place in spread(count)[:6]} == {0, 1, 2, 3}
