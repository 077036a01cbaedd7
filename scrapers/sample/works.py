"""The collection of the sample museum: crops of photographs, and paintings after them, made when they are asked for."""

import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from scrapers.sample.photographs import Photograph
from scrapers.sample.strokes import MANNERS, Picture, paint
from scrapers.sample.troubles import TROUBLES, TWICE

MEAN_SIDE_PX = (180, 270)
"""Range of the geometric mean of a work's width and height."""
JPEG_QUALITY = (80, 95)
"""The same range for both classes, so that the compression does not give the class away."""
SMALLEST_CROP_PX = 128
FLATTEST_CROP = 12.0
"""Standard deviation of grey values; a crop below it shows next to nothing."""
LARGEST_ENLARGEMENT = 1.25
FINEST_GRID_ROWS = 4

PLATE_LONG_SIDE_PX = 640
PLATES = {
    "impressionist": ("chelsea", 2.0),
    "expressionist": ("coffee", 3.0),
    "colorist-wash": ("astronaut", 3.0),
    "pointillist": ("rocket", 1.5),
}
"""One large painting a manner: the photograph it is after and the size of its brushes, in the manner's own."""

Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels of the photograph."""


@dataclass(frozen=True)
class Exhibit:
    """A photograph or, with a ``manner``, a painting."""

    id: str
    photograph: Photograph
    box: Box
    width_px: int
    height_px: int
    jpeg_quality: int
    manner: str | None = None
    brush_scale: float = 1.0

    @property
    def is_plate(self) -> bool:
        """Whether this is one of the large paintings, which are PNG files."""
        return self.id.startswith("plate-")

    @property
    def file_name(self) -> str:
        """Name of its image."""
        suffix = TROUBLES[self.id].suffix if self.id in TROUBLES else "png" if self.is_plate else "jpg"
        return f"{self.id}.{suffix}"

    def image(self) -> bytes:
        """Make the image: always the same bytes."""
        left, top, width, height = self.box
        crop = self.photograph.pixels[top : top + height, left : left + width]
        shrinks = self.width_px < width
        size = (self.width_px, self.height_px)
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(crop, size, interpolation=method), np.uint8)
        if self.manner:
            manner = MANNERS[self.manner]
            brushes_px = tuple(round(radius * self.brush_scale) for radius in manner.brushes_px)
            reference = _vivid(picture) if self.is_plate else picture
            picture = paint(reference, replace(manner, brushes_px=brushes_px), seed=_seed(self.id))
        if self.id in TROUBLES:
            return TROUBLES[self.id].encode(picture)
        options = [] if self.is_plate else [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
        _, encoded = cv2.imencode(self.file_name[-4:], cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
        return encoded.tobytes()


def collect(photographs: Sequence[Photograph], per_class: int | None = None) -> tuple[list[Exhibit], list[Exhibit]]:
    """The museum's paintings and photographs, at most ``per_class`` of each.

    The plates come first, then the works of all photographs in turn: a larger museum only adds works at the end. A few
    of the first have the files of :mod:`scrapers.sample.troubles`.
    """
    turns = itertools.zip_longest(*(_crops(photograph) for photograph in photographs))
    crops = [crop for turn in turns for crop in turn if crop]
    photos = [_work(f"{photograph.name}-{number:02d}", photograph, box) for photograph, number, box in crops]
    # A painting after the whole of a plate's photograph would nearly repeat the plate.
    repeated = {f"{name}-01" for name, _ in PLATES.values()}
    subjects = [photo for photo in photos if photo.id not in repeated]
    paintings = [
        replace(_work(f"{photo.id}-{manner}", photo.photograph, photo.box), manner=manner)
        for photo, manner in zip(subjects, itertools.cycle(MANNERS), strict=False)
    ]
    again = [_work(f"{photo.id}-print", photo.photograph, photo.box) for photo in photos if photo.id == TWICE]
    # After the paintings were chosen, which need no repetition, and early, so that a short crawl meets it.
    photos[len(photographs) : len(photographs)] = again
    return [*_plates(photographs), *paintings][:per_class], photos[:per_class]


def _crops(photograph: Photograph) -> Iterator[tuple[Photograph, int, Box]]:
    """The whole photograph, then the cells of finer and finer grids, a little smaller than their cells."""
    height, width = photograph.pixels.shape[:2]
    rng = np.random.default_rng(_seed(photograph.name))
    grids = [(1, 1), *((rows, max(1, round(rows * width / height))) for rows in range(1, FINEST_GRID_ROWS + 1))]
    number = 0
    for rows, columns in dict.fromkeys(grids):
        cell_height, cell_width = height // rows, width // columns
        if rows > 1 and min(cell_height, cell_width) < SMALLEST_CROP_PX:
            return
        for row, column in itertools.product(range(rows), range(columns)):
            crop_height, crop_width = (round(side * rng.uniform(0.85, 1.0)) for side in (cell_height, cell_width))
            top = row * cell_height + int(rng.integers(cell_height - crop_height + 1))
            left = column * cell_width + int(rng.integers(cell_width - crop_width + 1))
            crop = photograph.pixels[top : top + crop_height, left : left + crop_width]
            if cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).std() >= FLATTEST_CROP:
                number += 1
                yield photograph, number, (left, top, crop_width, crop_height)


def _work(identifier: str, photograph: Photograph, box: Box) -> Exhibit:
    rng = np.random.default_rng(_seed(identifier))
    scale = min(rng.uniform(*MEAN_SIDE_PX) / math.sqrt(box[2] * box[3]), LARGEST_ENLARGEMENT)
    quality = int(rng.integers(*JPEG_QUALITY, endpoint=True))
    return Exhibit(identifier, photograph, box, round(box[2] * scale), round(box[3] * scale), quality)


def _plates(photographs: Sequence[Photograph]) -> Iterator[Exhibit]:
    by_name = {photograph.name: photograph for photograph in photographs}
    for manner, (name, brush_scale) in PLATES.items():
        height, width = by_name[name].pixels.shape[:2]
        scale = PLATE_LONG_SIDE_PX / max(height, width)
        box, size = (0, 0, width, height), (round(width * scale), round(height * scale))
        yield Exhibit(f"plate-{manner}", by_name[name], box, *size, 100, manner, brush_scale)


def _vivid(picture: Picture) -> Picture:
    """Purer and lighter colours."""
    hsv = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv = np.power(hsv, np.array([1, 0.6, 0.7], np.float32))
    return np.asarray((cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).clip(0, 255), np.uint8)


def _seed(identifier: str) -> int:
    return zlib.crc32(identifier.encode())
