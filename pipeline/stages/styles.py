"""Make the picture ready whose style is taken.

Reads the picture that ``styles.<name>.source`` names, any crawled painting or a file of yours; writes
``data/styles/<name>.png``, RGB.

    python -m pipeline.stages.styles expressionist
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipeline.console import UserError, run
from pipeline.files import replacing
from pipeline.images import load_rgb
from pipeline.params import load_params

STYLES = Path("data/styles")
LONG_SIDE_PX = 1500
"""Painting reduces a style to about the area of the clip; more than this serves no clip."""

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> None:
    """Make ready the picture of the style that ``argv`` names."""
    parser = argparse.ArgumentParser(prog="styles", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a style in params.yaml")
    name = parser.parse_args(argv).name
    styles = load_params().styles
    if name not in styles:
        raise UserError(f"params.yaml has no style {name!r}; it has {', '.join(styles)}")
    picture = load_rgb(Path(styles[name].source))
    picture.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
    with replacing(STYLES / f"{name}.png") as temporary:
        picture.save(temporary)
    log.info("%s: %d x %d px from %s", STYLES / f"{name}.png", picture.width, picture.height, styles[name].source)


if __name__ == "__main__":
    run(main)
