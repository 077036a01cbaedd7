"""What is secret in an address, kept out of all that is printed and logged."""

import re

_USER = re.compile(r"(?<=:/)/?[^\s/?#]*@")
_PATH = re.compile(r"\b((?:rtsp|rtmp|srt)\w*:/+[^\s/?#]*)\S*", re.IGNORECASE)
"""Of a camera, and of a server that is sent to: there it is a key as often as not."""
_KEY = re.compile(r"([?&;][\w.-]*(?:key|token|secret|pass|pwd|sig|auth|credential)[\w.-]*=)[^\s&;]+", re.IGNORECASE)


def redacted(text: str) -> str:
    """``text`` with all its addresses without user and password, and without keys in their queries or live paths."""
    without_users = _USER.sub(lambda match: "/" * match[0].startswith("/"), text)
    return _KEY.sub(r"\1...", _PATH.sub(r"\1", without_users))
