import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.overlap import ahead, at_once


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
    coming.close()
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


def test_calls_at_the_same_time_give_what_they_return_in_their_order() -> None:
    both = threading.Barrier(2, timeout=10)

    def call(number: int) -> int:
        both.wait()  # passes when two are under way
        time.sleep(0.01 if number % 2 else 0.05)
        return number

    prepared: list[int] = []
    found = at_once((partial(call, number) for number in range(6)), 2, lambda: prepared.append(threading.get_ident()))
    assert list(found) == list(range(6))
    assert len(set(prepared)) == 2


def test_calls_are_made_no_earlier_than_needed_and_none_after_the_end() -> None:
    made: list[int] = []

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(100):
            made.append(number)
            yield partial(abs, number)

    found = at_once(calls(), 2, lambda: None)
    assert next(found) == 0
    assert len(made) <= 4
    found.close()  # type: ignore[attr-defined]
    assert len(made) <= 4


def test_an_error_in_a_call_comes_where_its_result_would() -> None:
    found = at_once([partial(abs, 1), partial(int, "x"), partial(abs, 3)], 2, lambda: None)
    assert next(found) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        next(found)
