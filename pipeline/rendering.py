"""Pages and Markdown from templates: all that is filled in is escaped, and numbers are written for people."""

import math
import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

NOTHING = "\N{EN DASH}"


def render(template: str, contents: Mapping[str, object]) -> str:
    """Fill in a template of this package, escaping every value for HTML or for Markdown, as its name ends."""
    environment = Environment(
        loader=PackageLoader("pipeline"),
        undefined=StrictUndefined,
        autoescape=template.endswith(".html"),
        finalize=escape_markdown if template.endswith(".md") else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"significant": significant, "percent": percent, "duration": duration}
    return environment.get_template(template).render(contents)


def escape_markdown(value: object) -> str:
    """Text that stays within its cell of a table and means nothing to Markdown."""
    return re.sub(r"([\\`*_\[\]<>|&~#])", r"\\\1", " ".join(str(value).split()))


def percent(value: float | None) -> str:
    """A share as a percentage; a dash for none."""
    return NOTHING if value is None else f"{value:.1%}"


def significant(value: float | None) -> str:
    """Three significant digits, without an exponent; a dash for none."""
    if value is None:
        return NOTHING
    rounded = float(f"{value:.3g}")
    decimals = 2 - math.floor(math.log10(abs(rounded))) if rounded and math.isfinite(rounded) else 0
    return f"{value:,.{max(0, decimals)}f}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f}\N{NO-BREAK SPACE}ms"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f}\N{NO-BREAK SPACE}{unit}"
    return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
