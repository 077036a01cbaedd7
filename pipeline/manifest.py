"""The manifest, read for a stage."""

from pathlib import Path

from pipeline.console import UserError
from scrapers.items import ManifestError, Work, read_manifest


def load_manifest(path: Path) -> list[Work]:
    """The works in the manifest's order. Raises :class:`UserError` for one that is not there or not whole."""
    try:
        return read_manifest(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; `dvc repro index` makes it") from None
    except ManifestError as error:
        raise UserError(f"{error}; run `dvc repro -sf index`") from None
