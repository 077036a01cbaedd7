"""Put the style pictures of one job into a folder of its own.

Reads ``data/styles/``; writes ``data/mixes/<job>/<style>.png``. It stands between the styles and the painting,
which takes hours, so that a style added to ``params.yaml`` paints none of the jobs anew that do not use it.

    python -m pipeline.stages.mixes street-expressionist
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.console import UserError, run
from pipeline.files import replacing_folder
from pipeline.params import load_params

STYLES = Path("data/styles")
MIXES = Path("data/mixes")


def main(argv: Sequence[str]) -> None:
    """Copy the styles of the job that ``argv`` names."""
    parser = argparse.ArgumentParser(prog="mixes", description=__doc__.splitlines()[0])
    parser.add_argument("job", help="a name under stylize.jobs in params.yaml")
    name = parser.parse_args(argv).job
    job = load_params().stylize.job(name)
    with replacing_folder(MIXES / name) as folder:
        for style in job.style_names():
            source = STYLES / f"{style}.png"
            if not source.is_file():
                raise UserError(f"{source} is missing; `dvc repro styles@{style}` makes it")
            shutil.copyfile(source, folder / source.name)


if __name__ == "__main__":
    run(main)
