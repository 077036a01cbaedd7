"""Works that no museum has, for manifests to measure on."""

from scrapers.items import LABELS, Work


def made_up(number: int, *, source: str, image_url: str) -> Work:
    """The work of a number; the classes take turns."""
    return Work(
        source=source,
        id=f"{number:05}",
        label=LABELS[number % 2],
        group=f"{number}",
        title=f"Number {number}",
        creator="unknown",
        year=None,
        licence="CC0-1.0",
        licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
        page_url=f"https://example.org/{number}",
        image_url=image_url,
        width_px=None,
        height_px=None,
    )
