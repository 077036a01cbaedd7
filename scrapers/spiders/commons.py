"""Wikimedia Commons: paintings that Wikidata knows the year of, and photographs that Commons has judged to be good."""

import re
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from scrapers.items import Label, Work
from scrapers.licences import URLS, identify
from scrapers.spiders.museum import BADLY_SHAPED, MuseumSpider
from scrapers.spiders.paging import spread
from scrapers.spiders.wikidata import DECADES, SPARQL, TIMEOUT_S, describe, file_title, paintings_of
from scrapers.text import plain

API = "https://commons.wikimedia.org/w/api.php"
PAGE_SIZE = 50
"""As many images as one request may ask to have scaled."""
LONGEST_TITLES = 6000
"""In characters of an address; one of more than 8000 might be refused."""
IMAGES = {
    **{"action": "query", "format": "json", "formatversion": 2, "prop": "imageinfo"},
    **{"iiprop": "url|size|mime|extmetadata", "iiurlwidth": 960},  # one of the widths there are; others are refused
    "iiextmetadatafilter": "LicenseShortName|Artist|DateTimeOriginal|Categories",
}
CATEGORIES = {"CC0-1.0": "CC-Zero", "CC-PDM-1.0": "PD-self"}
"""Of the files under a licence, where the category is not called as SPDX calls the licence."""
TYPES = frozenset({"image/jpeg", "image/png", "image/tiff"})
_YEAR = re.compile(r"\b(1[89]\d\d|20\d\d)\b")
_PAINTED = re.compile(r"painting|fresco|mural|mosaic|icons\b|drawing|engraving|stained[ -]glass", re.IGNORECASE)


class CommonsSpider(MuseumSpider):
    """Images 960 pixels wide, under the licence that each file's page names."""

    name = "commons"
    image_hosts = frozenset({"upload.wikimedia.org", "thumb.wikimedia.org"})

    def records(self, label: Label) -> AsyncIterator[Any]:
        """Yield pages of files, those of paintings with what Wikidata knows."""
        return self._paintings() if label == "painting" else self._photographs()

    def work(self, record: Any, label: Label) -> Work | None:
        """Read the page of a file. The categories of photographs also have photographs of paintings."""
        page = record["page"]
        if "imageinfo" not in page:  # deleted, or described in the next answer
            return None
        (image,) = page["imageinfo"]
        facts = image["extmetadata"]
        licence = identify(facts["LicenseShortName"]["value"])
        if licence not in URLS or image["mime"] not in TYPES:
            return None
        if label == "photo" and _PAINTED.search(facts["Categories"]["value"]):
            return None
        group, title, creator, year = (
            describe(record["paintings"][page["title"]]) if label == "painting" else _photograph(page, facts)
        )
        scaled = "thumb" if "thumburl" in image else ""
        return Work(
            source=self.name,
            id=f"{page['pageid']:d}",
            label=label,
            group=group,
            title=title,
            creator=creator,
            year=year,
            licence=licence,
            licence_url=URLS[licence],
            page_url=image["descriptionurl"],
            image_url=image[f"{scaled}url"],
            width_px=image[f"{scaled}width"],
            height_px=image[f"{scaled}height"],
        )

    async def _paintings(self) -> AsyncIterator[Any]:
        places = deque((DECADES[number], 0) for number in spread(len(DECADES)))
        while places:
            decade, offset = places.popleft()
            query = paintings_of(decade, limit=PAGE_SIZE, offset=offset)
            answer = await self.get_json(SPARQL, query, key="results", download_timeout=TIMEOUT_S)
            rows = answer["results"]["bindings"]
            paintings = {}
            for row in rows:
                try:
                    paintings[file_title(row)] = row
                except BADLY_SHAPED:
                    yield row  # no page, so that it is dropped and counted
            for titles in _batches(paintings):
                async for part in self._answers({"titles": "|".join(titles), "redirects": 1}):
                    found = {_final(title, part): paintings[title] for title in titles}
                    for page in part["pages"]:
                        yield {"page": page, "paintings": found}
            if len(rows) == PAGE_SIZE:
                places.append((decade, offset + PAGE_SIZE))

    async def _photographs(self) -> AsyncIterator[Any]:
        licences = sorted(CATEGORIES.get(licence, licence) for licence in self.licences if licence in URLS)
        if not licences:
            return
        search = f'incategory:"Quality images" incategory:"{"|".join(licences)}" filemime:image/jpeg'
        query = {"generator": "search", "gsrsearch": search, "gsrnamespace": 6, "gsrlimit": PAGE_SIZE}
        async for answer in self._answers({**query, "gsrsort": "create_timestamp_asc"}):
            for page in answer["pages"]:
                yield {"page": page}

    async def _answers(self, query: Mapping[str, object]) -> AsyncIterator[Any]:
        """Yield the answers to a query until it is answered in full."""
        more: Mapping[str, object] = {}
        while True:
            answer = await self.get_json(API, {**IMAGES, **query, **more}, key="query", or_key="batchcomplete")
            found = answer.get("query", {"pages": []})  # it is not there where nothing is found
            yield found
            if "continue" not in answer or not found["pages"]:
                return
            more = answer["continue"]


def _batches(titles: Iterable[str]) -> Iterator[list[str]]:
    """Yield as many titles at a time as fit into an address."""
    batch: list[str] = []
    for title in titles:
        if len(quote("|".join([*batch, title]))) > LONGEST_TITLES:
            yield batch
            batch = []
        batch.append(title)
    if batch:
        yield batch


def _final(title: str, answer: Any) -> str:
    """The title of the page that is answered for ``title``."""
    for steps in ("normalized", "redirects"):
        title = {step["from"]: step["to"] for step in answer.get(steps, [])}.get(title, title)
    return title


def _photograph(page: Any, facts: Any) -> tuple[str, str, str, int | None]:
    """Group, title, creator and year."""
    title = plain(page["title"].removeprefix("File:").rpartition(".")[0], "untitled")
    creator = plain(facts.get("Artist", {}).get("value"), "unknown")
    year = _YEAR.search(plain(facts.get("DateTimeOriginal", {}).get("value"), ""))
    # Some names are followed by a note that is hidden on the page.
    return f"{page['pageid']:d}", title, creator.partition(" creator QS:")[0], int(year[1]) if year else None
