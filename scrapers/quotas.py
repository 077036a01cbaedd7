"""How many works each source gives of a class: equal shares, and what a source cannot give is given by the others."""

import asyncio
from collections.abc import Collection, Mapping


class Quota:
    """The shares of one class, among sources that walk their works side by side.

    A share grows when another source ends below its own, and never shrinks. So a source that has given its share
    waits until every other has ended or waits too; in the end, each has given its first works, max-min fair, whatever
    the order in which they were found.
    """

    def __init__(self, wanted: int, sources: Collection[str], caps: Mapping[str, int]) -> None:
        self.wanted = wanted
        self.given = dict.fromkeys(sources, 0)
        self.caps = {source: caps.get(source, wanted) for source in sources}
        self.open = list(self.given)
        """Sources that may have more."""
        self._changed = asyncio.Condition()

    def shares(self) -> dict[str, int]:
        """How many works each source gives, as far as is known now."""
        shares = {source: self.given[source] for source in self.given if source not in self.open}
        left = self.wanted - sum(shares.values())
        # Those with the lowest caps first: what they cannot give is shared by the rest.
        by_cap = sorted(self.open, key=lambda source: self.caps[source])
        for index, source in enumerate(by_cap):
            shares[source] = min(self.caps[source], -(-left // (len(by_cap) - index)))
            left -= shares[source]
        return shares

    async def admit(self, source: str) -> bool:
        """Whether ``source`` gives one work more; waits until that is certain."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.given[source] < self.shares()[source] or self._settled())
            more = self.given[source] < self.shares()[source]
            self.given[source] += more
            self._changed.notify_all()
            return more

    async def end(self, source: str) -> None:
        """Note that ``source`` has no more."""
        async with self._changed:
            if source in self.open:
                self.open.remove(source)
            self._changed.notify_all()

    def _settled(self) -> bool:
        """Whether every source has ended or given its share."""
        shares = self.shares()
        return all(self.given[source] >= shares[source] for source in self.open)
