"""The card of the data set, under the headings that Hugging Face uses, with every number from the run."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.console import UserError
from pipeline.params import Crawl
from pipeline.rendering import render
from scrapers.items import LABELS, Label
from scrapers.licences import URLS

INSTITUTIONS = {
    "aic": ("Art Institute of Chicago", "https://api.artic.edu/docs/"),
    "cleveland": ("Cleveland Museum of Art", "https://www.clevelandart.org/open-access"),
    "commons": ("Wikimedia Commons and Wikidata", "https://commons.wikimedia.org/"),
    "inaturalist": ("iNaturalist", "https://www.inaturalist.org/"),
    "met": ("The Metropolitan Museum of Art, New York", "https://metmuseum.github.io/"),
    "nga": ("National Gallery of Art, Washington", "https://github.com/NationalGalleryOfArt/opendata"),
    "sample": ("the sample museum, built in", "https://scikit-image.org/docs/stable/api/skimage.data.html"),
}
ENDINGS = {"full": "gave its share", "exhausted": "had no more", "failed": "stopped answering"}


@dataclass(frozen=True)
class Walk:
    """How a source was asked for its works of one class, and what it gave."""

    share: int
    given: int
    dropped: int
    passed: int
    ended: Literal["full", "exhausted", "failed"]


@dataclass(frozen=True)
class Index:
    """What the stage ``index`` says of its crawl."""

    wanted: dict[Label, int]
    sources: dict[str, dict[Label, Walk]]


def read_index(path: Path) -> Index:
    """Read the metrics of ``index``. Raises :class:`UserError` for a file that is not there or not whole."""
    try:
        return TypeAdapter(Index).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro index` makes it") from None
    except ValidationError:
        raise UserError(f"{path} is not what `index` writes; run `dvc repro -sf index`") from None


def render_dataset_card(crawl: Crawl, metrics: Mapping[str, Any], index: Index) -> str:
    """Markdown from the parameters, the counts of the data set and what ``index`` says of its crawl."""
    by_source = metrics["by_source"]
    totals: dict[Label, Counter[str]] = {label: Counter() for label in LABELS}
    for classes in by_source.values():
        for label in LABELS:
            totals[label].update(classes[label])
    contents = {
        "crawl": crawl,
        "contact": contact_address(crawl.user_agent),
        "metrics": metrics,
        "index": index,
        "accepted": sum(counts["accepted"] for counts in totals.values()),
        "totals": totals,
        "lost": [(stage, *each) for stage, reasons in metrics["lost"].items() for each in reasons.items()],
        "museums": sorted(by_source.keys() - {"sample"}),
        "only_class": dict(_only_class(by_source)),
        "institutions": INSTITUTIONS,
        "licence_urls": URLS,
        "endings": ENDINGS,
    }
    return render("dataset_card.md", contents)


def _only_class(by_source: Mapping[str, Mapping[Label, Mapping[str, int]]]) -> Iterator[tuple[str, Label]]:
    """The sources whose accepted images are all of one class."""
    for source, classes in by_source.items():
        present = [label for label in LABELS if classes[label]["accepted"]]
        if len(present) == 1:
            yield source, present[0]


def contact_address(user_agent: str) -> str | None:
    """The web or mail address in a crawler's name for itself, as a link leads there."""
    if web := re.search(r"https?://[^\s()<>;,]+", user_agent):
        return web[0]
    mail = re.search(r"[\w.+-]+@[\w.-]+\w", user_agent)
    return f"mailto:{mail[0]}" if mail else None
