"""Shares of the sources: equal where they can be, whatever the order in which works are found."""

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from scrapers.quotas import Quota

SUPPLIES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 40), min_size=1)


def crawl(wanted: int, supplies: dict[str, int], caps: dict[str, int], seed: int) -> dict[str, int]:
    """What each source gives, if works come in an order drawn by ``seed``."""

    async def walk(quota: Quota, source: str, rng: random.Random) -> None:
        for _ in range(supplies[source]):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            if not await quota.admit(source):
                break
        await quota.end(source)

    async def walk_all() -> dict[str, int]:
        quota = Quota(wanted, list(supplies), caps)
        rng = random.Random(seed)
        await asyncio.wait_for(asyncio.gather(*(walk(quota, source, rng) for source in supplies)), timeout=20)
        return quota.given

    return asyncio.run(walk_all())


@given(
    wanted=st.integers(1, 100),
    supplies=SUPPLIES,
    caps=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30)),
    seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
)
def test_shares_are_max_min_fair_in_every_order(
    wanted: int, supplies: dict[str, int], caps: dict[str, int], seeds: tuple[int, int]
) -> None:
    given_ = crawl(wanted, supplies, caps, seeds[0])
    assert given_ == crawl(wanted, supplies, caps, seeds[1])
    most = {source: min(supply, caps.get(source, wanted)) for source, supply in supplies.items()}
    assert sum(given_.values()) == min(wanted, sum(most.values())), "as many as there are"
    assert all(given_[source] <= most[source] for source in supplies)
    for source in supplies:
        if given_[source] < most[source]:
            assert given_[source] >= max(given_.values()) - 1, "who could give more gives as many as any"


def test_shares_grow_as_sources_end() -> None:
    async def walk() -> None:
        quota = Quota(10, ["a", "b", "c"], {"c": 1})
        assert quota.shares() == {"a": 5, "b": 4, "c": 1}
        assert await quota.admit("b")
        await quota.end("b")
        assert quota.shares() == {"a": 8, "b": 1, "c": 1}
        await quota.end("a")
        assert quota.shares() == {"a": 0, "b": 1, "c": 1}

    asyncio.run(walk())


def test_source_with_its_share_waits_for_the_others() -> None:
    async def walk() -> None:
        quota = Quota(2, ["quick", "slow"], {})
        assert await quota.admit("quick")
        second = asyncio.create_task(quota.admit("quick"))
        await asyncio.sleep(0.01)
        assert not second.done(), "the slow one may still end with nothing"
        await quota.end("slow")
        assert await second

    asyncio.run(walk())
