"""Numbers of steps to try one after the other, until a painting is as good as another one."""

from collections.abc import Iterator

FIRST, LAST = 10, 500
GROWTH = 1.1


def budgets() -> Iterator[int]:
    """From :data:`FIRST` to at most :data:`LAST`, each a tenth more than the one before."""
    budget = float(FIRST)
    while budget <= LAST:
        yield round(budget)
        budget *= GROWTH
