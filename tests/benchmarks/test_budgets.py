from itertools import pairwise

from benchmarks.budgets import FIRST, GROWTH, LAST, budgets


def test_budgets_grow_to_the_last() -> None:
    tried = list(budgets())
    assert tried[0] == FIRST
    assert LAST / GROWTH - 1 < tried[-1] <= LAST
    assert all(0 < later - earlier <= 0.1 * earlier + 1 for earlier, later in pairwise(tried))
