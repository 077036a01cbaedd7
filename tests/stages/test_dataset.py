import json
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.console import UserError
from pipeline.dataset_card import contact_address
from pipeline.splits import SPLITS
from pipeline.stages.dataset import (
    ACCEPTED,
    ATTRIBUTION,
    CARD,
    COLUMNS,
    DOWNLOADS,
    INDEX,
    MANIFEST,
    METRICS,
    REJECTED,
    Image,
    attribution,
    inert,
    main,
    period,
)
from pipeline.stages.fetch import COLUMNS as DOWNLOAD_COLUMNS
from pipeline.stages.prepare import ACCEPTED_COLUMNS
from pipeline.tables import read_table, write_table
from scrapers.items import LABELS, Work, write_manifest
from tests.stages.running import edit_crawl

REJECTED_COLUMNS = ("path", "source", "label", "id", "reason", "detail")


def work(name: str, label: str = "painting", **changes: Any) -> Work:
    values: dict[str, Any] = {
        "source": "met",
        "id": name,
        "label": label,
        "group": name,
        "title": f"Title of {name}",
        "year": 1888,
    }
    values |= {"creator": "A. Painter", "licence": "CC0-1.0", "licence_url": "https://example.org/zero"}
    values |= {"page_url": f"https://example.org/{name}", "image_url": f"https://example.org/{name}.jpg"}
    return Work(**(values | {"width_px": 10, "height_px": 10} | changes))


def write_inputs(
    accepted: Sequence[Work],
    *,
    gray: Collection[str] = (),
    failed: Sequence[Work] = (),
    rejected: Sequence[Work] = (),
) -> None:
    """What ``index``, ``fetch`` and ``prepare`` write: the failed answered 404, the rejected are truncated."""
    works = [*accepted, *failed, *rejected]
    MANIFEST.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(works, MANIFEST)
    walk = {"given": len(works), "share": 10, "dropped": 31, "passed": 32, "ended": "exhausted"}
    sources = {each.source: dict.fromkeys(LABELS, walk) for each in works}
    INDEX.parent.mkdir(parents=True, exist_ok=True)
    INDEX.write_text(json.dumps({"wanted": {"painting": 20, "photo": 0}, "sources": sources}))
    rows: dict[tuple[str, str, str], dict[str, object]] = {
        each.key: {"source": each.source, "label": each.label, "id": each.id, "path": each.path} for each in works
    }
    fetched = {
        key: row | {"status": "ok", "bytes": 5000, "sha256": f"hash of {row['id']}"} for key, row in rows.items()
    }
    fetched |= {each.key: rows[each.key] | {"status": "failed", "reason": "http-404"} for each in failed}
    write_table(DOWNLOADS, DOWNLOAD_COLUMNS, fetched.values())
    refused = (rows[each.key] | {"reason": "truncated", "detail": "at 99%"} for each in rejected)
    write_table(REJECTED, REJECTED_COLUMNS, refused)
    write_table(
        ACCEPTED,
        ACCEPTED_COLUMNS,
        (
            rows[each.key]
            | {"path": f"data/images/{each.source}/{each.label}/{each.id}.jpg", "split": SPLITS[number % 3]}
            | {"width_px": 300 + number, "height_px": 256, "is_gray": each.id in gray, "group": each.group}
            for number, each in enumerate(accepted)
        ),
    )


@pytest.mark.usefixtures("workspace")
def test_attribution_has_a_row_for_each_accepted_image_and_no_other() -> None:
    old = work("b", year=-500, creator='Ödön, "the\nelder"', licence="CC-BY-4.0")
    write_inputs([old, work("a", "photo", year=None)], failed=[work("c")], rejected=[work("d")])
    main([])
    rows = read_table(ATTRIBUTION)
    assert [row["path"] for row in rows] == ["data/images/met/painting/b.jpg", "data/images/met/photo/a.jpg"]
    assert rows[0] == {
        "path": "data/images/met/painting/b.jpg",
        "source": "met",
        "label": "painting",
        "id": "b",
        "title": "Title of b",
        "creator": 'Ödön, "the elder"',
        "year": "-500",
        "licence": "CC-BY-4.0",
        "licence_url": "https://example.org/zero",
        "page_url": "https://example.org/b",
        "image_url": "https://example.org/b.jpg",
        "sha256": "hash of b",
    }
    assert rows[1]["year"] == ""


@pytest.mark.usefixtures("workspace")
def test_metrics_and_card_count_what_is_in_the_files() -> None:
    accepted = [work("a"), work("b", year=1920), work("c", "photo", source="nga", licence="CC-BY-4.0", year=None)]
    write_inputs(accepted, gray={"b"}, failed=[work("d")], rejected=[work("e"), work("f", "photo")])
    main([])
    metrics = json.loads(METRICS.read_text())
    assert metrics["by_source"]["met"]["painting"] == {"listed": 4, "downloaded": 3, "accepted": 2, "gray": 1}
    assert metrics["by_source"]["nga"]["painting"] == {"listed": 0, "downloaded": 0, "accepted": 0, "gray": 0}
    assert metrics["by_licence"] == {"CC-BY-4.0": {"painting": 0, "photo": 1}, "CC0-1.0": {"painting": 2, "photo": 0}}
    assert metrics["by_split"]["train"] == {"painting": 1, "photo": 0}
    assert {name: counts for name, counts in metrics["by_period"].items() if any(counts.values())} == {
        "1800-1899": {"painting": 1, "photo": 0},
        "1900-1949": {"painting": 1, "photo": 0},
        "unknown": {"painting": 0, "photo": 1},
    }
    assert metrics["lost"]["fetch"] == {"http-404": {"painting": 1, "photo": 0}}
    assert metrics["lost"]["prepare"] == {"truncated": {"painting": 1, "photo": 1}}
    assert metrics["sizes"]["painting"]["original_bytes"] == 10_000
    assert metrics["sizes"]["painting"]["long_side_px"] == {"min": 300, "median": 300, "max": 301}
    card = CARD.read_text()
    for line in (
        "3 images, each a painting or a photograph, as the sources had them on 2026-11-22,",
        "| met | painting | 4 | 3 | 2 | 50.0% |",
        "| nga | painting | 0 | 0 | 0 | \N{EN DASH} |",
        "| all | photo | 2 | 2 | 1 | 0.0% |",
        "| [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/) | 0 | 1 |",
        "| 1900-1949 | 1 | 0 |",
        "| painting | 0.0100 | 5.00 | 256 to 256 | 256 | 300 to 301 | 300 |",
        "| fetch | http-404 | 1 | 0 |",
        "| prepare | truncated | 1 | 1 |",
        "| painting | 20 | 4 | 3 | 2 | 18 |",
        "| photo | 0 | 2 | 2 | 1 | 0 |",
        "| met | painting | 10 | 6 | 31 | 32 | had no more |",
    ):
        assert line in card.splitlines()


@pytest.mark.usefixtures("workspace")
def test_the_card_says_whom_to_ask_for_removal_and_how_it_is_done() -> None:
    edit_crawl(user_agent="crawler/1 (+https://museum.test/contact_us; me@museum.test)", licences=["CC0-1.0", "X_1"])
    write_inputs([work("a")])
    main([])
    card = CARD.read_text()
    removal = card.split("## How to have an image removed")[1].split("\n## ")[0]
    assert r"[https://museum.test/contact\_us](<https://museum.test/contact\_us>)" in removal
    for part in (
        "ATTRIBUTION.csv",
        "exclude: [SOURCE/ID]",
        "dvc repro",
        "dvc gc --workspace",
        "trains the model again",
    ):
        assert part in removal
    assert r"one of these: CC0-1.0, X\_1." in card


@pytest.mark.usefixtures("workspace")
def test_a_source_of_one_class_is_named_in_the_card() -> None:
    write_inputs([work("a"), work("b", "photo", source="inaturalist"), work("c", "photo")])
    main([])
    lines = CARD.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("All images of the source"))
    assert line.startswith("All images of the source `inaturalist` are of the class photo: ")


@pytest.mark.parametrize("source", ["sample", "met"])
@pytest.mark.usefixtures("workspace")
def test_only_the_sample_is_said_to_be_no_real_paintings(source: str) -> None:
    write_inputs([work("a", source=source)])
    main([])
    assert ("not real paintings" in CARD.read_text()) == (source == "sample")


@pytest.mark.usefixtures("workspace")
def test_the_front_matter_is_what_hugging_face_reads() -> None:
    write_inputs([work("a")])
    main([])
    front, body = CARD.read_text().removeprefix("---\n").split("\n---\n", maxsplit=1)
    fields = yaml.safe_load(front)
    assert (fields["license"], fields["size_categories"]) == ("other", ["n<1K"])
    # the headings of its template that this data set has something to say under
    for heading in ("Dataset Details", "Uses", "Dataset Structure", "Dataset Creation", "Bias, Risks, and Limitations"):
        assert f"\n## {heading}\n" in body
    anchors = {
        re.sub(r"[^a-z -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", body, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#(.*?)\)", body)) <= anchors


@pytest.mark.usefixtures("workspace")
def test_a_licence_from_outside_stays_text_in_its_cell() -> None:
    write_inputs([work("a", licence="x|<img src=y>\n](javascript:z)")])
    main([])
    (row,) = (line for line in CARD.read_text().splitlines() if "javascript" in line)
    assert row == r"| x\|\<img src=y\> \](javascript:z) | 1 | 0 |"


@pytest.mark.usefixtures("workspace")
def test_rows_are_sorted_however_they_come() -> None:
    works = [work("b"), work("c", "photo"), work("a", "photo"), work("d")]
    write_inputs(works)
    main([])
    before = ATTRIBUTION.read_bytes()
    write_inputs(works[::-1])
    main([])
    assert ATTRIBUTION.read_bytes() == before
    paths = [row["path"] for row in read_table(ATTRIBUTION)]
    assert paths == sorted(paths)


@pytest.mark.usefixtures("workspace")
def test_tables_that_do_not_fit_together_are_one_sentence() -> None:
    write_inputs([work("a"), work("b")])
    write_manifest([work("a")], MANIFEST)
    with pytest.raises(UserError, match=r"accepted.csv has an image that .* does not; run `dvc repro`"):
        main([])
    assert not ATTRIBUTION.exists()


@pytest.mark.parametrize("contents", ["", "[]", '{"wanted": {}}', '{"wanted": {"statue": 1}, "sources": {}}'])
@pytest.mark.usefixtures("workspace")
def test_metrics_of_index_that_it_did_not_write_are_one_sentence(contents: str) -> None:
    write_inputs([work("a")])
    INDEX.write_text(contents)
    with pytest.raises(UserError, match=r"index.json is not what `index` writes"):
        main([])
    INDEX.unlink()
    with pytest.raises(UserError, match=r"index.json is missing"):
        main([])


@pytest.mark.parametrize(
    ("year", "name"),
    [
        (None, "unknown"),
        (-10_000, "before 1500"),
        (1499, "before 1500"),
        (1500, "1500-1599"),
        (1899, "1800-1899"),
        (1900, "1900-1949"),
        (1949, "1900-1949"),
        (1950, "1950 and later"),
        (3000, "1950 and later"),
    ],
)
def test_periods_begin_where_they_say(year: int | None, name: str) -> None:
    assert period(year) == name


@given(st.text(alphabet=st.characters(codec="utf-8")))
@example("\ufeff=1+1")
@example("\u200b @x")
@example("\x00-1")
@example("\uff1d1\uff0b1")
@example("\ufeff\uff0dA1")
@example("\ufe63A1")
def test_no_cell_is_a_formula_or_more_than_a_line(text: str) -> None:
    cell = inert(text)
    seen = unicodedata.normalize("NFKC", cell).lstrip("\ufeff\u200b\u200e\u2060\x00")
    assert not seen.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert len(cell.splitlines()) <= 1
    assert cell.removeprefix("'").split() == text.removeprefix("'").split()


@given(title=st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=40))
@example(title='=1+1,"\r\n@x')
def test_a_title_of_any_kind_keeps_to_its_cell(title: str) -> None:
    image = Image(
        work=work("a", title=title),
        path="a.jpg",
        split="test",
        width_px=1,
        height_px=1,
        is_gray=False,
        original_bytes=1,
        sha256="0",
    )
    with TemporaryDirectory() as folder:
        write_table(Path(folder, "table.csv"), COLUMNS, [attribution(image)])
        (row,) = read_table(Path(folder, "table.csv"))
    assert row["title"] == inert(title)
    assert (row["path"], row["creator"], row["sha256"]) == ("a.jpg", "A. Painter", "0")


@pytest.mark.parametrize(
    ("user_agent", "address"),
    [
        ("paint/0.1 (+https://example.org/contact)", "https://example.org/contact"),
        ("paint/0.1 (me.too@example.org)", "mailto:me.too@example.org"),
        ("paint/0.1 (me@example.org; https://example.org/~me)", "https://example.org/~me"),
        ("paint", None),
        ("paint (javascript:alert)", None),
    ],
)
def test_contact_is_found_in_the_crawlers_name(user_agent: str, address: str | None) -> None:
    assert contact_address(user_agent) == address
