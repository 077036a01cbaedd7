"""What sources write, made plain."""

from w3lib.html import remove_tags, remove_tags_with_content, replace_entities

LONGEST = 500


def plain(text: str | None, otherwise: str) -> str:
    """``text`` without HTML, control characters and all beyond 500 characters; ``otherwise`` where nothing is left.

    Raises :class:`TypeError` for what is no text.
    """
    if not isinstance(text, str | None):
        raise TypeError(f"{type(text).__name__} is no text")
    without_tags = remove_tags(remove_tags_with_content(text or "", ("script", "style")))
    words = " ".join(replace_entities(without_tags).split())
    return "".join(filter(str.isprintable, words))[:LONGEST].strip() or otherwise
