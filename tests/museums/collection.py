"""What the stand-ins of the museums have: works that follow from their number.

Nothing is kept for a work, so that twenty thousand take no more memory than ten.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from scrapers.items import LABELS, Label

FIRST_ID = 10_000
BLOCK = 20
"""Four in so many records give no work of their own."""
SUBJECTS = ("View of a Harbour", "Portrait of a Woman", "Still Life with Quinces", "Gärten im März", "The Ferry, Dusk")
CREATORS = ("Jane Doe (British, 1811-1890)", "Élise Dupont", "Workshop of a Master", "John Q. Public, Jr.", "田中 一郎")


class Kind(StrEnum):
    """What a listed record is worth."""

    FREE = "free"
    NOT_FREE = "not free"
    WITHOUT_IMAGE = "without image"
    MALFORMED = "malformed"
    DOUBLE = "the record before it once more"


KINDS = {4: Kind.NOT_FREE, 9: Kind.WITHOUT_IMAGE, 14: Kind.MALFORMED, 19: Kind.DOUBLE}
"""By place in a block."""


def kind_of(number: int) -> Kind:
    """The kind of a record."""
    return KINDS.get(number % BLOCK, Kind.FREE)


@dataclass(frozen=True)
class Sizes:
    """How many records each source lists: paintings, photographs."""

    cleveland: tuple[int, int] = (0, 0)
    nga: tuple[int, int] = (0, 0)
    met: tuple[int, int] = (0, 0)
    aic: tuple[int, int] = (0, 0)
    commons: tuple[int, int] = (0, 0)
    inaturalist: tuple[int, int] = (0, 0)

    @classmethod
    def offering(cls, works: int) -> "Sizes":
        """Sizes that offer at least ``works`` free works, half of them paintings."""
        sources = [field.name for field in fields(cls)]
        each = -(-works // 2 // ((len(sources) - 1) * (BLOCK - len(KINDS)))) * BLOCK
        return cls(**{source: (0 if source == "inaturalist" else each, each) for source in sources})

    def of(self, source: str, label: Label) -> int:
        """The records of a class of a source."""
        counts: tuple[int, int] = getattr(self, source)
        return counts[LABELS.index(label)]

    def expected(self, source: str, label: Label) -> int:
        """The works that are free, have an image and are well described, each counted once."""
        return sum(kind_of(number) is Kind.FREE for number in range(self.of(source, label)))


def draw(*key: object) -> int:
    """A number of 64 bits that follows from ``key``."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest())


@dataclass(frozen=True)
class Piece:
    """A work of a source, described as far as all sources do."""

    source: str
    label: Label
    number: int
    seed: int

    @property
    def id(self) -> int:
        """Tells it from every other work of its source; see :meth:`Collection.piece`."""
        return FIRST_ID + 2 * self.number + LABELS.index(self.label)

    @property
    def kind(self) -> Kind:
        """What it is worth; the record that repeats it is another."""
        return kind_of(self.number)

    @property
    def uuid(self) -> str:
        """Its id in the dress of a UUID."""
        return f"{self.draw('uuid') % 2**32:08x}-0000-4000-8000-{self.id:012x}"

    @property
    def title(self) -> str:
        """Not always another one."""
        return f"{SUBJECTS[self.draw('title') % len(SUBJECTS)]} No. {self.draw('title') % 97}"

    @property
    def creator(self) -> str:
        """One of few."""
        return CREATORS[self.draw("creator") % len(CREATORS)]

    @property
    def year(self) -> int:
        """Of creation."""
        first, last = (1500, 1920) if self.label == "painting" else (1840, 1925)
        return first + self.draw("year") % (last - first)

    def draw(self, what: str) -> int:
        """A number that follows from the work and ``what`` it is for."""
        return draw(self.seed, self.source, self.label, self.number, what)


@dataclass(frozen=True)
class Collection:
    """The works of one source."""

    source: str
    sizes: Sizes
    seed: int
    tiny: bool
    """Whether its images are much smaller than it says."""

    def size(self, label: Label) -> int:
        """The number of records of a class."""
        return self.sizes.of(self.source, label)

    def records(self, label: Label, start: int, end: int) -> Iterator[tuple[Piece, Kind]]:
        """The records from one place to another and what they are worth, in the source's order."""
        for number in range(max(start, 0), min(end, self.size(label))):
            kind = kind_of(number)
            yield Piece(self.source, label, number - (kind is Kind.DOUBLE), self.seed), kind

    def piece(self, identity: int) -> Piece | None:
        """The work of that id, if there is one."""
        number, place = divmod(identity - FIRST_ID, 2)
        piece = Piece(self.source, LABELS[place], number, self.seed)
        return piece if 0 <= number < self.size(piece.label) and piece.kind is not Kind.DOUBLE else None

    def pictured(self, identity: int) -> Piece | None:
        """The work of that id, if there is one with an image."""
        piece = self.piece(identity)
        return piece if piece and piece.kind is not Kind.WITHOUT_IMAGE else None


def spoilt(record: dict[str, Any], piece: Piece, identity: str = "id") -> Any:
    """A record as no source should give it."""
    return (
        {**record, "title": [record["title"]]},
        {**record, identity: None},
        {**record, identity: "../" + str(record[identity])},
        str(record),
        None,
    )[piece.draw("spoilt") % 5]
