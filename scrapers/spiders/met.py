"""The Metropolitan Museum of Art: a search that gives numbers, and one question for each object."""

from collections.abc import AsyncIterator
from operator import index
from typing import Any

from w3lib.url import safe_url_string

from scrapers.items import Label, Work
from scrapers.licences import URLS
from scrapers.spiders.museum import AnswerError, GoneError, MuseumSpider
from scrapers.text import plain

COLLECTION = "https://collectionapi.metmuseum.org/public/collection"
KINDS: dict[Label, str] = {"painting": "Painting", "photo": "Photograph"}
"""How the classification begins, or the object's name where there is none."""
PAGE_SIZE = 500
LARGEST_SEARCH = 10_000
"""The search shows no more than so many of its results."""
MOST_MISSES = 10
"""So many objects in a row that cannot be had end the walk."""


class MetSpider(MuseumSpider):
    """Images of about 600 pixels, CC0, whose size is not told."""

    name = "met"
    image_hosts = frozenset({"images.metmuseum.org"})

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield the objects that the search finds, by their numbers; a few may be missing."""
        misses = 0
        for number in sorted(await self._search(label)):
            try:
                record = await self.get_json(f"{COLLECTION}/v1/objects/{number}", key="objectID", patient=False)
            except GoneError:
                continue
            except AnswerError:
                misses += 1
                if misses == MOST_MISSES:
                    raise
                continue
            misses = 0
            yield record

    def work(self, record: Any, label: Label) -> Work | None:
        """Read an object. The search also finds what is not free and what has no image."""
        image_url = record["primaryImageSmall"]
        if record["isPublicDomain"] is not True or not image_url:
            return None
        kind = record["classification"] or record["objectName"]
        if not kind.startswith(KINDS[label]):
            return None
        identifier = f"{record['objectID']:d}"
        return Work(
            source=self.name,
            id=identifier,
            label=label,
            group=identifier,
            title=plain(record["title"], "untitled"),
            creator=plain(record["artistDisplayName"], "unknown"),
            year=record["objectBeginDate"] or None,  # there was no year 0: it stands for none
            licence="CC0-1.0",
            licence_url=URLS["CC0-1.0"],
            page_url=record["objectURL"],
            image_url=safe_url_string(image_url),  # file names with spaces come as they are
            width_px=None,
            height_px=None,
        )

    async def _search(self, label: Label) -> set[int]:
        numbers: set[int] = set()
        offset, total = 0, 1
        while offset < min(total, LARGEST_SEARCH):
            query = {
                **{"q": "*", "medium": f"{KINDS[label]}s", "hasImages": "true", "isPublicDomain": "true"},
                **{"offset": offset, "limit": PAGE_SIZE},
            }
            answer = await self.get_json(f"{COLLECTION}/v1.1/search", query, key="objectIDs")
            numbers.update(index(number) for number in (answer["objectIDs"] or [])[:PAGE_SIZE])
            offset, total = offset + PAGE_SIZE, answer["total"]
        return numbers
