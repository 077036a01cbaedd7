"""Pages and their end, numbers of records, and the order of places."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.spiders.paging import last_id, pages, spread


@pytest.mark.parametrize(
    ("total", "sizes", "skips"),
    [
        *((5, [2, 2, 1], [0, 2, 4]), (4, [2, 2], [0, 2]), (0, [0], [0])),
        *((10**18, [3, 1, 0], [0, 3, 4]), (2, [7], [0])),
    ],
)
def test_pages_are_asked_for_up_to_the_total_or_an_empty_one(total: int, sizes: list[int], skips: list[int]) -> None:
    asked: list[int] = []

    async def ask(skip: int) -> Any:
        asked.append(skip)
        return {"info": {"total": total}, "data": list(range(skip, skip + sizes[len(asked) - 1]))}

    async def walk() -> list[Any]:
        return [record async for record in pages(ask)]

    assert asyncio.run(walk()) == list(range(sum(sizes)))
    assert asked == skips


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
