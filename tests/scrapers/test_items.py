"""The manifest: what is written is read again, and what nobody wrote is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from scrapers.items import ManifestError, Work, read_manifest, write_manifest

WORK: dict[str, Any] = {
    "source": "sample",
    "id": "a-1",
    "label": "photo",
    "group": "a",
    "title": "Grün\u2028 “a”\n",
    "creator": "Somebody",
    "year": 1889,
    "licence": "CC0-1.0",
    "licence_url": "https://example.org/cc0",
    "page_url": "https://example.org/a-1",
    "image_url": "https://example.org/a-1.jpg",
    "width_px": 10,
    "height_px": 20,
}


def test_manifest_is_sorted_and_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    works = [
        Work(**{**WORK, "id": name, "label": label}) for name in ("b", "A", "a") for label in ("photo", "painting")
    ]
    write_manifest(works, path)
    assert read_manifest(path) == sorted(works, key=lambda work: (work.label, work.id))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "manifest.jsonl:2"),
        ("[]", "manifest.jsonl:2"),
        ('{"source": "sample"}', "manifest.jsonl:2: id"),
        (TypeAdapter(Work).dump_json(Work(**WORK)).decode(), "sample/photo/a-1 is there twice"),
    ],
)
def test_line_at_fault_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest([Work(**WORK)], path)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)


@pytest.mark.parametrize("name", ["page_url", "image_url", "licence_url"])
@pytest.mark.parametrize(
    "address",
    [
        *("https://example.org/\x00", "https://example.org/\x1b[2J", "https://a.org/\x7f", "https://example.org/\n"),
        *("https://example.org/ü", "https://ex\u200bample.org", "https://example.org/a b", "https:///x", "ftp://a.org"),
        *("http://[", "http://[x]/", "http://a]b/", "http://a:99999/", "http://a:0/", "http://a:b/"),
    ],
)
def test_address_is_of_printable_ascii(name: str, address: str) -> None:
    with pytest.raises(ValidationError, match=name):
        Work(**{**WORK, name: address})


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://example.org/x.JPG", "sample/photo/a-1.jpg"),
        ("https://example.org/x.tiff?size=big.png", "sample/photo/a-1.tiff"),
        ("https://example.org/iiif/default.php", "sample/photo/a-1.bin"),
        ("https://example.org/..%2f..%2fx", "sample/photo/a-1.bin"),
        ("https://example.org", "sample/photo/a-1.bin"),
    ],
)
def test_file_is_named_by_identifier_and_a_known_suffix(address: str, path: str) -> None:
    assert Work(**{**WORK, "image_url": address}).path == path


@given(identifier=st.text(max_size=90), address=st.text(max_size=40).map(lambda text: f"http://example.org/{text}"))
def test_no_identifier_or_address_leads_out_of_the_folder(identifier: str, address: str) -> None:
    try:
        path = Path(Work(**{**WORK, "id": identifier, "image_url": address}).path)
    except ValidationError:
        return
    assert path.parent == Path("sample/photo")
    assert not path.name.startswith(".")
    assert path.name.isascii()
