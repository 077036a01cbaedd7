"""Ask the museums what they have.

Reads nothing but the museums' interfaces; writes ``data/index/manifest.jsonl``, one work a line, and
``data/metrics/index.json``: what each source gave of its share, and why not more. An old manifest stays where the
museums cannot be asked. What they answered is kept beside it for the snapshot, so a killed run goes on.

    python -m pipeline.stages.index
"""

import argparse
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.console import UserError, run
from pipeline.crawling import add_stand_in, crawl
from pipeline.files import replacing, write_json
from pipeline.params import Crawl, load_params
from pipeline.tallies import Tallies
from scrapers.answers import Answers
from scrapers.items import LABELS, Label, Work, write_manifest
from scrapers.licences import URLS, identify
from scrapers.quotas import Quota
from scrapers.spiders.aic import AicSpider
from scrapers.spiders.cleveland import ClevelandSpider
from scrapers.spiders.commons import CommonsSpider
from scrapers.spiders.inaturalist import INaturalistSpider
from scrapers.spiders.met import MetSpider
from scrapers.spiders.museum import MuseumSpider
from scrapers.spiders.nga import NgaSpider
from scrapers.spiders.sample import SampleSpider

MANIFEST = Path("data/index/manifest.jsonl")
METRICS = Path("data/metrics/index.json")
SPIDERS: dict[str, type[MuseumSpider]] = {
    spider.name: spider
    for spider in (
        SampleSpider,
        ClevelandSpider,
        NgaSpider,
        MetSpider,
        AicSpider,
        CommonsSpider,
        INaturalistSpider,
    )
}
LICENCES = {*URLS, "BSD-3-Clause", "NKC"}
"""What a source can state; the last two are the sample's."""
LOPSIDED = 0.2
"""Share of its smaller class below which a source that has both gives its class away."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(prog="index", description=__doc__.splitlines()[0])
    add_stand_in(parser)
    arguments = parser.parse_args(argv)
    params = load_params().crawl
    _check_licences(params.licences)
    quotas = {label: _quota(label, params) for label in LABELS}
    shares = _shares(quotas)
    name = f".answers-{params.snapshot}.sqlite"
    _forget_answers_except(name)
    works: list[Work] = []
    with (
        Answers(MANIFEST.parent / name) as answers,
        Tallies(shares, unit="work", description="index") as tallies,
    ):

        def collect(item: Work) -> None:
            works.append(item)
            tallies.done(item.source, item.label)
            update_totals()

        def update_totals() -> None:
            for (source, label), share in _shares(quotas).items():
                tallies.total(source, label, share)

        same: dict[str, object] = {"quotas": quotas, "licences": params.licences, "exclude": params.exclude}
        # The sample is a program of this project, and may have changed with it since it answered.
        spiders = [
            (SPIDERS[source], same | {"answers": None if source == "sample" else answers}) for source in params.sources
        ]
        statistics = crawl(spiders, params, sources=params.sources, stand_in=arguments.stand_in, on_item=collect)
        update_totals()
    _write_metrics(quotas, shares, dict(zip(params.sources, statistics, strict=True)))
    _warn_of_unmet(params, statistics)
    _check(works, params)
    with replacing(MANIFEST) as temporary:
        write_manifest(works, temporary)
    counts = Counter(work.label for work in works)
    log.info("%s: %s", MANIFEST, ", ".join(f"{counts[label]} of class {label}" for label in LABELS))


def _check_licences(licences: Sequence[str]) -> None:
    for licence in licences:
        if licence not in LICENCES:
            like = identify(licence)
            way_out = (
                f"write {like}" if like in URLS else f"it takes SPDX identifiers, such as {', '.join([*URLS][:3])}"
            )
            raise UserError(f"crawl.licences names {licence!r}, which no source states; {way_out}")


def _quota(label: Label, params: Crawl) -> Quota:
    sources = [source for source in params.sources if label in SPIDERS[source].labels]
    caps: dict[str, int] = {source: caps[label] for source, caps in params.quotas.items() if label in caps}
    return Quota(params.per_class, sources, caps)


def _shares(quotas: Mapping[Label, Quota]) -> dict[tuple[str, str], int]:
    return {(source, label): share for label, quota in quotas.items() for source, share in quota.shares().items()}


def _forget_answers_except(name: str) -> None:
    for path in MANIFEST.parent.glob(".answers-*.sqlite*"):
        if not path.name.startswith(name):
            path.unlink()


def _write_metrics(
    quotas: Mapping[Label, Quota],
    shares: Mapping[tuple[str, str], int],
    statistics: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write what each source gave of its first share, and say what is odd about it."""
    sources: dict[str, dict[str, dict[str, object]]] = {source: {} for source in statistics}
    for label, quota in quotas.items():
        for source, given in quota.given.items():
            counts = {key: statistics[source].get(f"{label}/{key}", 0) for key in ("dropped", "passed")}
            ended = next((way for way in ("failed", "exhausted") if f"{label}/{way}" in statistics[source]), "full")
            share = shares[source, label]
            sources[source][label] = {"given": given, "share": share, **counts, "ended": ended}
            if given < share:
                log.warning("%s gives %d of class %s instead of %d (%s)", source, given, label, share, ended)
    for source, of_label in sources.items():
        given_of = [quotas[label].given[source] for label in LABELS if label in of_label]
        if len(given_of) == len(LABELS) and min(given_of) < LOPSIDED * sum(given_of):
            log.warning("%s gives nearly all of one class, which it may give away", source)
    write_json(METRICS, {"wanted": {label: quota.wanted for label, quota in quotas.items()}, "sources": sources})


def _warn_of_unmet(params: Crawl, statistics: Sequence[Mapping[str, Any]]) -> None:
    met = {key.removeprefix("excluded/") for counts in statistics for key in counts}
    unmet = [work for work in params.exclude if work.partition("/")[0] in params.sources and work not in met]
    if unmet:
        log.warning(
            "crawl.exclude had nothing to leave out for %s; works that come after a source has given its share are "
            "never met, others may be misspelt",
            ", ".join(unmet),
        )


def _check(works: Sequence[Work], params: Crawl) -> None:
    for label in LABELS:
        found = sum(work.label == label for work in works)
        if found < params.min_per_class:
            raise UserError(
                f"the sources gave {found} of class {label}, fewer than crawl.min_per_class = {params.min_per_class}; "
                f"{METRICS} tells why. Try again later, add to crawl.sources or lower it ({MANIFEST} stays as it was)"
            )


if __name__ == "__main__":
    run(main)
