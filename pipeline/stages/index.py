"""Ask the museums what they have.

Reads nothing but the museums' interfaces; writes ``data/index/manifest.jsonl``, one work a line. An old manifest stays
where the museums cannot be asked.

    python -m pipeline.stages.index
"""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.console import UserError, progress, run
from pipeline.crawling import crawl
from pipeline.files import replacing
from pipeline.params import Crawl, load_params
from scrapers.items import LABELS, Work, write_manifest
from scrapers.spiders.sample import SampleSpider

MANIFEST = Path("data/index/manifest.jsonl")
SPIDERS = {"sample": SampleSpider}

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(prog="index", description=__doc__.splitlines()[0])
    parser.add_argument("--museum", metavar="URL", help="ask this open sample museum instead of opening one")
    arguments = parser.parse_args(argv)
    params = load_params().crawl
    works: list[Work] = []
    total = params.per_class * len(LABELS) * len(params.sources)
    with progress(total=total, unit="work", description="index") as bar:

        def collect(item: Work) -> None:
            works.append(item)
            bar.update()

        spiders = [(SPIDERS[source], {"per_class": params.per_class}) for source in params.sources]
        statistics = crawl(spiders, params, collect, settings={}, museum_address=arguments.museum)
    _check(works, statistics, params)
    with replacing(MANIFEST) as temporary:
        write_manifest(works, temporary)
    counts = Counter(work.label for work in works)
    log.info("%s: %s", MANIFEST, ", ".join(f"{counts[label]} of class {label}" for label in LABELS))


def _check(works: Sequence[Work], statistics: Sequence[dict[str, Any]], params: Crawl) -> None:
    for source, counts in zip(params.sources, statistics, strict=True):
        if counts.get("pages/failed"):
            raise UserError(
                f"the museum {source} did not answer as it should, so {MANIFEST} stays as it was; try again"
            )
        found = sum(work.source == source for work in works)
        dropped = counts.get("works/dropped", 0)
        if dropped > params.max_error_ratio * (dropped + found):
            raise UserError(
                f"the museum {source} describes {dropped} of {dropped + found} works badly, "
                f"more than crawl.max_error_ratio = {params.max_error_ratio} allows; {MANIFEST} stays as it was"
            )
    for label in LABELS:
        found = sum(work.label == label for work in works)
        if found < params.min_per_class:
            raise UserError(
                f"the museums have {found} of class {label}, fewer than crawl.min_per_class = {params.min_per_class}; "
                f"add to crawl.sources or lower it ({MANIFEST} stays as it was)"
            )


if __name__ == "__main__":
    run(main)
