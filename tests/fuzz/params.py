"""The settings."""

from pathlib import Path

from pipeline.params import load_params

ROOT = Path(__file__).parents[2]


def originals(_: Path) -> list[bytes]:
    return [(ROOT / "params.yaml").read_bytes()]


def read(path: Path) -> None:
    load_params(path)
