"""The model card of the classifier, under the headings that Hugging Face uses, with every number from the run."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.params import Params

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy")


def render_model_card(
    params: Params,
    metrics: Mapping[str, Mapping[str, float]],
    per_source: Sequence[Mapping[str, object]],
    images: Mapping[str, int],
) -> str:
    """Markdown from the parameters, the metrics of each split, the table of sources and the images of each split."""
    # Markdown has no entities, and every value is a number or comes from this project's own parameters.
    environment = Environment(loader=PackageLoader("pipeline"), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    environment.trim_blocks = environment.lstrip_blocks = environment.keep_trailing_newline = True
    return environment.get_template("model_card.md").render(
        params=params,
        metrics=metrics,
        per_source=per_source,
        images=images,
        sources=sorted({row["source"] for row in per_source}),
        versions={"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        machine=platform.machine(),
    )
