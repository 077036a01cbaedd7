"""iNaturalist: photographs of plants and animals, out of the bucket of its open data."""

import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.paging import last_id, spread
from scrapers.text import plain

OBSERVATIONS = "https://api.inaturalist.org/v1/observations"
LICENCES = ("cc0", "cc-by", "cc-by-sa", "cc-by-nd", "cc-by-nc", "cc-by-nc-sa", "cc-by-nc-nd")
"""As the interface writes them; all of version 4.0."""
PLACES = 40
PAGE_SIZE = 50
"""A small page: the observations of one page were made on the same day."""
LARGE_PX = 1024
_PHOTO = re.compile(r"(https://inaturalist-open-data\.s3\.amazonaws\.com/photos/\d+)/square\.(\w+)")


class INaturalistSpider(MuseumSpider):
    """One photograph of each observation whose species is agreed upon."""

    name = "inaturalist"
    labels: ClassVar[tuple[Label, ...]] = ("photo",)
    image_hosts = frozenset({"inaturalist-open-data.s3.amazonaws.com"})

    async def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield observations from many places along the years, a page of each at a time."""
        licences = [licence for licence in LICENCES if identify(licence) in self.licences]
        if not licences:
            return
        query = {"photo_license": ",".join(licences), "photos": "true", "quality_grade": "research", "order_by": "id"}
        newest = await self.get_json(OBSERVATIONS, {**query, "order": "desc", "per_page": 1}, key="results")
        places = _places(last_id(newest["results"]))
        while places:
            above, below = places.popleft()
            span = {"order": "asc", "id_above": above, "id_below": below, "per_page": PAGE_SIZE}
            page = (await self.get_json(OBSERVATIONS, {**query, **span}, key="results"))["results"]
            for record in page:
                yield record
            if page:
                places.append((last_id(page), below))

    def work(self, record: Any, label: Label) -> Work | None:
        """Read an observation: its first photograph that is open data under a licence of ours."""
        ours = [photo for photo in record["photos"] if identify(photo["license_code"] or "none") in self.licences]
        found = next(((photo, match) for photo in ours if (match := _PHOTO.match(photo["url"]))), None)
        if not found:
            return None
        photo, match = found
        width_px, height_px = _size(photo["original_dimensions"])
        licence = identify(photo["license_code"])
        return Work(
            source=self.name,
            id=f"{photo['id']:d}",
            label=label,
            group=f"{record['id']:d}",
            title=plain(record["taxon"].get("preferred_common_name"), plain(record["taxon"]["name"], "untitled")),
            creator=plain(record["user"].get("name"), plain(record["user"]["login"], "unknown")),
            year=record["observed_on_details"]["year"] if record["observed_on_details"] else None,
            licence=licence,
            licence_url=URLS[licence],
            page_url=f"https://www.inaturalist.org/observations/{record['id']:d}",
            image_url=f"{match[1]}/large.{match[2]}",
            width_px=width_px,
            height_px=height_px,
        )


def _size(original: Any) -> tuple[int, int] | tuple[None, None]:
    if not original or original["width"] is None or original["height"] is None:
        return None, None
    width_px, height_px = original["width"], original["height"]
    longest_px = max(width_px, height_px, LARGE_PX)
    return width_px * LARGE_PX // longest_px, height_px * LARGE_PX // longest_px


def _places(newest: int) -> deque[tuple[int, int]]:
    """The numbers that each part of all observations lies between."""
    return deque((newest * part // PLACES, newest * (part + 1) // PLACES + 1) for part in spread(PLACES))
