"""Licences by their SPDX identifiers, however a source writes them."""

import re

URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-PDM-1.0": "https://creativecommons.org/publicdomain/mark/1.0/",
    **{
        f"CC-{terms}-{version}": f"https://creativecommons.org/licenses/{terms.lower()}/{version}/"
        for terms in ("BY", "BY-SA", "BY-NC", "BY-ND", "BY-NC-SA", "BY-NC-ND")
        for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
    },
}
"""The deed of each licence that a source can be recognised to name."""

_TERMS = re.compile(r"cc (by(?: nc)?(?: sa| nd)?)(?: (\d\.\d)(?: [a-z]{2,5})?)?")


def identify(statement: str) -> str:
    """The identifier of a licence that is written as "CC0", "Public domain", "CC BY-SA 4.0" or "cc-by-nc".

    A Creative Commons licence without a version is taken for the present one, 4.0, and one adapted to a country for the
    international one. What is not recognised comes back as it is, and is on nobody's list of licences.
    """
    words = " ".join(re.split(r"[\s_-]+", statement.lower().strip()))
    if re.fullmatch(r"cc ?0( 1\.0( universal)?)?|cc zero", words):
        return "CC0-1.0"
    if re.fullmatch(r"pdm?|public domain( mark)?( 1\.0)?|cc pdm( 1\.0)?", words):
        return "CC-PDM-1.0"
    if match := _TERMS.fullmatch(words):
        identifier = f"CC-{match[1].upper().replace(' ', '-')}-{match[2] or '4.0'}"
        return identifier if identifier in URLS else statement
    return statement
