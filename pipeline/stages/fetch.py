"""Download the images of the manifest.

Reads ``data/index/manifest.jsonl``; writes ``data/raw/SOURCE/LABEL/ID.EXT`` (the bytes as they came) with
``checksums.sha256`` and ``addresses.txt`` beside them, ``data/fetch/images.csv``, and ``data/metrics/fetch.json``.
Files that are there, intact, and from the address that the manifest names are not asked for again, all others are
deleted; a run may be killed at any moment and run again.

    python -m pipeline.stages.fetch
"""

import argparse
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.console import UserError, run
from pipeline.crawling import add_stand_in, crawl
from pipeline.files import write_json
from pipeline.manifest import load_manifest
from pipeline.params import Crawl, load_params
from pipeline.tables import write_table
from pipeline.tallies import Tallies
from scrapers.files import Store
from scrapers.items import LABELS, Work
from scrapers.spiders.images import ImagesSpider

MANIFEST = Path("data/index/manifest.jsonl")
RAW = Path("data/raw")
TABLE = Path("data/fetch/images.csv")
METRICS = Path("data/metrics/fetch.json")
COLUMNS = ("source", "label", "id", "path", "status", "reason", "bytes", "sha256")

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Bring ``data/raw`` to what the manifest says."""
    parser = argparse.ArgumentParser(prog="fetch", description=__doc__.splitlines()[0])
    add_stand_in(parser)
    arguments = parser.parse_args(argv)
    params = load_params().crawl
    works = load_manifest(MANIFEST)
    store = Store(RAW, {work.path: work.image_url for work in works})
    deleted = store.prune()
    missing = [work for work in works if work.path not in store.checksums]
    log.info("%d images wanted, %d here, %d deleted", len(works), len(works) - len(missing), deleted)
    reasons = _download(works, missing, store, params, arguments.stand_in) if missing else {}
    store = Store(RAW, store.addresses)
    store.write_records()
    failed = {work.path: reasons[work.path] for work in missing if work.path in reasons}
    for reason, count in Counter(failed.values()).most_common():
        log.warning("%d failed: %s", count, reason)
    _write_table(works, store, failed)
    _write_metrics(works, failed)
    _check(works, failed, params)


def _download(
    works: Sequence[Work], missing: Sequence[Work], store: Store, params: Crawl, stand_in: str | None
) -> dict[str, str]:
    """Download the images of ``missing``; the reason comes back for each path that failed."""
    failed: dict[str, str] = {}
    totals: Counter[tuple[str, str]] = Counter((work.source, work.label) for work in works)
    here = totals - Counter((work.source, work.label) for work in missing)
    with Tallies(totals, unit="image", description="fetch", already=here) as tallies:

        def report(work: Work, reason: str) -> None:
            if reason:
                failed[work.path] = reason
                tallies.failed(work.source, work.label, reason)
            else:
                tallies.done(work.source, work.label)

        arguments = {"works": missing, "store": store, "report": report, "retries": params.retries}
        crawl([(ImagesSpider, arguments)], params, sources={work.source for work in missing}, stand_in=stand_in)
    return failed


def _write_table(works: Sequence[Work], store: Store, failed: Mapping[str, str]) -> None:
    def row(work: Work) -> Mapping[str, object]:
        name = {"source": work.source, "label": work.label, "id": work.id, "path": work.path}
        if work.path in failed:
            return name | {"status": "failed", "reason": failed[work.path]}
        size = (RAW / work.path).stat().st_size
        return name | {"status": "ok", "bytes": size, "sha256": store.checksums[work.path]}

    write_table(TABLE, COLUMNS, map(row, works))


def _write_metrics(works: Sequence[Work], failed: Mapping[str, str]) -> None:
    have = Counter(work.label for work in works if work.path not in failed)
    metrics = {
        "wanted": len(works),
        "have": {label: have[label] for label in LABELS},
        "failed": len(failed),
        "failed_by_reason": dict(sorted(Counter(failed.values()).items())),
    }
    write_json(METRICS, metrics)


def _check(works: Sequence[Work], failed: Mapping[str, str], params: Crawl) -> None:
    if len(failed) > params.max_error_ratio * len(works):
        reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(failed.values()).most_common(3))
        raise UserError(
            f"{len(failed)} of {len(works)} images could not be had ({reasons}), more than crawl.max_error_ratio = "
            f"{params.max_error_ratio} allows; {TABLE} lists them, and a second run asks only for these"
        )
    for label in LABELS:
        have = sum(work.label == label and work.path not in failed for work in works)
        if have < params.min_per_class:
            raise UserError(
                f"{have} images of class {label} are here, fewer than crawl.min_per_class = {params.min_per_class}; "
                f"{TABLE} tells why"
            )


if __name__ == "__main__":
    run(main)
