"""Sizes of images that a source scales down on demand."""

from fractions import Fraction


def fit_within(width_px: int, height_px: int, max_width_px: int, max_height_px: int) -> tuple[int, int]:
    """The size of an image that is reduced until it fits, but never enlarged.

    What is no size leads to one of :data:`scrapers.spiders.museum.BADLY_SHAPED`, or to a size below one pixel.
    """
    excess = max(Fraction(width_px, max_width_px), Fraction(height_px, max_height_px), Fraction(1))
    return int(width_px / excess), int(height_px / excess)
