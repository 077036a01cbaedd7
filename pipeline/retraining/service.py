"""The model in service: a folder for each release, and ``service/current``, a link to one of them.

Whoever opens ``service/current/classifier.safetensors`` gets the whole old model or the whole new one. A folder is
never changed once it has its name.
"""

import os
import shutil
from pathlib import Path

from pipeline.files import replacing, replacing_folder
from pipeline.installed import FAST, MODEL, SERVICE

CARD = Path("data/models/model_card.md")
RELEASES = SERVICE.parent
KEPT = 5
"""Releases, for going back; older ones can be had from the DVC remote by their tag."""


def model_in_service() -> Path | None:
    """The classifier that is in use."""
    model = SERVICE / MODEL.name
    return model if model.exists() else None


def releases_of(model: str) -> list[str]:
    """The releases that a model of this hash has been put into service as."""
    return sorted(folder.name for folder in RELEASES.glob(f"model-*-{model[:8]}"))


def current_release() -> str:
    """The name of the release in service; empty if there is none."""
    return SERVICE.resolve().name if SERVICE.exists() else ""


def promote(release: str, comparison: Path) -> None:
    """Put the model of this clone into service as ``release``, with its card and what it was judged by."""
    folder = RELEASES / release
    if not folder.exists():
        with replacing_folder(folder) as new:
            shutil.copyfile(comparison, new / comparison.name)
            for path in (MODEL, CARD, FAST):
                if path.exists():
                    shutil.copyfile(path, new / path.name)
            os.sync()  # before it gets its name: a power cut must not leave empty files under it
    with replacing(SERVICE) as link:
        link.symlink_to(release)
    os.sync()
    _remove_old(keep=release)


def _remove_old(keep: str) -> None:
    folders = sorted(RELEASES.glob("model-*"), key=lambda folder: folder.stat().st_mtime)
    for folder in folders[:-KEPT]:
        if folder.name != keep:
            shutil.rmtree(folder)
