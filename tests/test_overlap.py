import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.overlap import ahead


@given(items=st.lists(st.integers(), max_size=20), most=st.integers(1, 5))
def test_all_items_come_in_order(items: list[int], most: int) -> None:
    assert list(ahead(iter(items), most)) == items


def test_no_more_are_made_than_may_wait() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in count():
            made.append(number)
            if number == 3:
                third.set()
            yield number

    threads = threading.active_count()
    coming = ahead(items(), 3)
    assert next(coming) == 0
    assert third.wait(10)  # made in the thread, without being asked for
    coming.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2, 3]
    assert threading.active_count() == threads


def test_mistakes_reach_who_takes_the_items() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    coming = ahead(items(), 2)
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_steps_after_one_another() -> None:
    assert list(islice(ahead(ahead(count(), 2), 2), 5)) == [0, 1, 2, 3, 4]
