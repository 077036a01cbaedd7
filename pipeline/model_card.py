"""The model card of the classifier, under the headings that Hugging Face uses, with every number from the run."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pipeline.params import Params
from pipeline.rendering import render

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy")


def render_model_card(
    params: Params,
    metrics: Mapping[str, Any],
    methods: Sequence[Mapping[str, object]],
    per_source: Sequence[Mapping[str, object]],
    accepted: Sequence[Mapping[str, str]],
) -> str:
    """Markdown from the parameters and what ``evaluate`` writes: the metrics, the tables of methods and of sources.

    Where ``metrics["left_out"]`` is None, the card says why.
    """
    contents = {
        "params": params,
        "random": metrics["random"],
        "left_out": metrics["left_out"],
        "methods": methods,
        "per_source": per_source,
        "images": Counter(image["split"] for image in accepted),
        "sources": sorted({image["source"] for image in accepted}),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": platform.machine(),
    }
    return render("model_card.md", contents)
