"""Arguments that several commands of ``paint`` have, and what is checked of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pipeline.console import UserError

WeightsOption = Annotated[
    str | None, typer.Option(metavar="W,W", help="Weights of the styles, in their order.", show_default="equal")
]
StrengthOption = Annotated[
    float, typer.Option(min=0, max=1, help="0 leaves the picture's textures, 1 takes the style's.")
]


def parse_weights(option: str, text: str | None, count: int) -> tuple[float, ...]:
    """``"2,1"`` for two styles; without a text all weigh the same."""
    if text is None:
        return (1.0,) * count
    try:
        weights = tuple(float(each) for each in text.split(","))
    except ValueError:
        weights = ()
    if len(weights) != count or not all(0 <= weight < 1e6 for weight in weights) or not sum(weights):
        raise UserError(f"{option} {text} should be a number for each --style, with commas between them, such as 2,1")
    return weights


def check_output(output: Path, suffixes: Sequence[str]) -> None:
    """Raise :class:`UserError` if ``output`` has another suffix, or no folder to be in."""
    if output.suffix.lower() not in suffixes:
        raise UserError(f"--output {output} should end in {' or '.join(suffixes)}")
    if not output.parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}")
