"""Which pictures show the same thing, and which of train, validation and test each belongs to.

Pictures are compared by perceptual hash. Of near-duplicates with one label a single one is kept; the groups of all
that are alike are merged, whatever their labels, so that a painting and a photograph of it never cross the split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from pipeline.console import UserError
from scrapers.items import LABELS

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Stratum = tuple[str, str]
"""A source and a label."""
Size = Counter[Stratum]
"""How many pictures of each stratum a group has."""

_BLOCK = 64


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded picture: ``path`` of the reduced image, ``raw`` of the original with its hash and number of pixels.

    ``phash`` is None for one too plain to have a hash.
    """

    path: str
    source: str
    label: str
    id: str
    group: str
    width_px: int
    height_px: int
    is_gray: bool
    phash: str | None
    raw: str
    raw_pixels: int
    sha256: str

    @property
    def look(self) -> str:
        """What pictures are compared by. Plain ones are alike only if their files are equal."""
        return self.phash or self.sha256


@dataclass(frozen=True)
class Frozen:
    """Pictures on which one model after the other is compared, so that none may learn from anything like them.

    ``groups`` have their ``source/group``, ``hashes`` their perceptual hashes.
    """

    groups: frozenset[str]
    hashes: NDArray[np.uint64]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> "Frozen":
        """From a table with the columns group and phash, which is empty for a plain picture."""
        rows = list(rows)
        hashes = [int(row["phash"], 16) for row in rows if row["phash"]]
        return cls(frozenset(row["group"] for row in rows), np.array(hashes, dtype=np.uint64))

    def holds(self, group: str, phash: str | None, max_bits: int) -> bool:
        """Whether a picture is of the same group as one of these, or looks like it."""
        if group in self.groups:
            return True
        return bool(phash) and bool((np.bitwise_count(self.hashes ^ np.uint64(int(phash or "", 16))) <= max_bits).any())


def near_pairs(hashes: NDArray[np.uint64], max_bits: int) -> NDArray[np.intp]:
    """Every pair i < j of 64-bit ``hashes`` that differ in at most ``max_bits`` bits, as rows (i, j) in order."""
    pairs = [np.empty((0, 2), dtype=np.intp)]
    for start in range(0, len(hashes), _BLOCK):
        distances = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None, start:])
        found = np.argwhere(distances <= max_bits)
        pairs.append(found[found[:, 0] < found[:, 1]] + start)
    return np.concatenate(pairs)


def alike(pictures: Sequence[Picture], max_bits: int) -> dict[str, list[str]]:
    """For each look among ``pictures``, the looks at most ``max_bits`` away, itself first.

    Equal looks are compared once, so a thousand copies of a "no image" placeholder cost no more than one.
    """
    hashes = sorted({picture.phash for picture in pictures if picture.phash})
    near = {picture.look: [picture.look] for picture in pictures}
    for i, j in near_pairs(np.array([int(text, 16) for text in hashes], dtype=np.uint64), max_bits).tolist():
        near[hashes[i]].append(hashes[j])
        near[hashes[j]].append(hashes[i])
    return near


def find_duplicates(pictures: Iterable[Picture], near: Mapping[str, Sequence[str]]) -> dict[Picture, Picture]:
    """The pictures that repeat another of the same label, each with the one that is kept.

    ``near`` is from :func:`alike`. Larger pictures come first, then the order of names decides. A picture goes only if
    it is near one that stays.
    """
    kept: dict[tuple[str, str], Picture] = {}
    repeats: dict[Picture, Picture] = {}
    for picture in sorted(pictures, key=lambda each: (-each.raw_pixels, each.source, each.label, each.id)):
        twins = (kept.get((picture.label, look)) for look in near[picture.look])
        if twin := next(filter(None, twins), None):
            repeats[picture] = twin
        else:
            kept[picture.label, picture.look] = picture
    return repeats


def merge_groups(pictures: Sequence[Picture], near: Mapping[str, Sequence[str]]) -> dict[Picture, str]:
    """Each picture's group (``source/group``), those linked by near looks merged under their first name."""
    own = [f"{picture.source}/{picture.group}" for picture in pictures]
    groups, group_index = np.unique(np.array(own), return_inverse=True)
    looks = {look: len(groups) + index for index, look in enumerate(near)}
    links = [(group, looks[picture.look]) for group, picture in zip(group_index.tolist(), pictures, strict=True)]
    links += [(looks[a], looks[b]) for a, others in near.items() for b in others if a < b]
    size = len(groups) + len(looks)
    rows, columns = np.array(links, dtype=np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links), dtype=bool), (rows, columns)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    first: dict[int, str] = {}
    for group, root in zip(groups.tolist(), component.tolist(), strict=False):
        first.setdefault(root, group)
    return {picture: first[component[index]] for picture, index in zip(pictures, group_index, strict=True)}


def held_groups(groups: Mapping[Picture, str], frozen: Frozen, max_bits: int) -> set[str]:
    """The groups of ``groups`` (picture to group) that have something of ``frozen``."""
    return {
        group
        for picture, group in groups.items()
        if frozen.holds(f"{picture.source}/{picture.group}", picture.phash, max_bits)
    }


def assign_splits(
    pictures: Mapping[Picture, str],
    *,
    validation_ratio: float,
    test_ratio: float,
    seed: int,
    held: Collection[str] = (),
) -> dict[str, Split]:
    """The split of each group of ``pictures`` (picture to group), stratified by source and label.

    The groups of ``held`` are for the test, whatever the shares. The others are drawn in the order of a hash of their
    name, test first, until every stratum has its share; so a new group moves hardly any other. A group too large for
    any share is for training, and no part of what the others share. Every split gets every label. Raises
    :class:`UserError` if there are too few groups.
    """
    sizes: dict[str, Size] = defaultdict(Counter)
    for picture, group in pictures.items():
        sizes[group][picture.source, picture.label] += 1
    most = _quota(sizes.values(), max(validation_ratio, test_ratio))
    shared = [size for size in sizes.values() if _fits(size, Counter(), most)]
    held = sizes.keys() & set(held)
    left = sorted(sizes.keys() - held, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
    splits: dict[str, Split] = {group: "test" if group in held else "train" for group in sizes}
    shares: tuple[tuple[Split, float, Collection[str]], ...] = (
        ("test", test_ratio, held),
        ("validation", validation_ratio, ()),
    )
    for split, ratio, already in shares:
        filled = sum((sizes[group] for group in already), Counter[Stratum]())
        drawn = _draw({group: sizes[group] for group in left}, _quota(shared, ratio), filled)
        splits |= dict.fromkeys(drawn, split)
        left = [group for group in left if group not in drawn]
    _check_every_label(sizes, splits)
    return splits


def _quota(sizes: Iterable[Size], ratio: float) -> dict[Stratum, float]:
    total: Size = Counter()
    for size in sizes:
        total.update(size)
    return {stratum: ratio * count for stratum, count in total.items()}


def _fits(size: Size, filled: Size, quota: Mapping[Stratum, float]) -> bool:
    """Whether a group brings no stratum further over its quota than leaving it out would keep it under."""
    return all(filled[stratum] + count / 2 <= quota.get(stratum, 0) for stratum, count in size.items())


def _draw(sizes: Mapping[str, Size], quota: Mapping[Stratum, float], filled: Size) -> set[str]:
    """Groups, in order, that fit to what is ``filled``; then the smallest with a label that is still missing."""
    drawn: set[str] = set()
    for group, size in sizes.items():
        if _fits(size, filled, quota):
            drawn.add(group)
            filled += size
    for label in LABELS:
        if label not in _labels(filled):
            others = [group for group in sizes if group not in drawn and label in _labels(sizes[group])]
            for group in sorted(others, key=lambda each: sizes[each].total())[:1]:
                drawn.add(group)
                filled += sizes[group]
    return drawn


def _labels(size: Size) -> set[str]:
    return {label for _, label in size}


def _check_every_label(sizes: Mapping[str, Size], splits: Mapping[str, Split]) -> None:
    for label in LABELS:
        groups = [group for group in sizes if label in _labels(sizes[group])]
        if missing := set(SPLITS) - {splits[group] for group in groups}:
            raise UserError(
                f"{len(groups)} accepted groups with a {label} are too few to have one in {min(missing)}; "
                "raise crawl.per_class"
            )
