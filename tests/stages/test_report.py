import json
import re
import shutil
from dataclasses import asdict, replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.console import UserError
from pipeline.encoding import write_video
from pipeline.stages import report
from pipeline.stages.report import FAST, FIGURES, KINDS, MANIFEST, REPORT, compare, main
from pipeline.tables import read_table, write_table
from pipeline.video import probe
from scrapers.items import Work, write_manifest
from tests.pictures import noise, scene

FRAMES = 12
JOB = "street-expressionist"
PAGE, SUMMARY = REPORT / "index.html", REPORT / "report.md"
TEMPORAL = Path("data/plots/temporal.csv")
COST = {"frames": FRAMES, "iterations": 1234, "seconds": 60.0}
SCORES = {"accuracy": 0.5, "balanced_accuracy": 0.5, "auroc": 1.0, "loss": 0.7}
TEST = {"images": 2, **SCORES, "intervals": {name: {"low": 0.25, "high": 0.8754} for name in SCORES}}
UNSEEN = {"mean_balanced_accuracy": 0.875, "worst_source": 0.125, "loss": 0.9}
LEFT_OUT: dict[str, Any] = {"images": 20, "sources": 2, **UNSEEN, "auroc": None, "worst_source_name": "museum"}
LEFT_OUT["intervals"] = {name: {"low": 0.0625, "high": 0.9375} for name in UNSEEN}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(PAGE.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def addresses(self) -> list[str]:
        names = ("src", "href", "poster", "srcset", "action", "data")
        return [value for _, attributes in self.found for name in names if (value := attributes.get(name))]


def work(label: str, name: str, **changes: str) -> Work:
    values: dict[str, Any] = {
        "source": "sample",
        "id": name,
        "label": label,
        "group": name,
        "title": f"Title of {name}",
    }
    values |= {"creator": "A. Painter", "licence": "CC0-1.0", "licence_url": "https://example.org/zero"}
    values |= {"page_url": f"https://example.org/{name}", "image_url": f"https://example.org/{name}.jpg"}
    return Work(**(values | {"year": None, "width_px": 10, "height_px": 10} | changes))


def write_json(path: str, contents: object) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(contents))


def write_classifier(works: list[Work]) -> None:
    """What the stages up to ``evaluate`` write; the paintings are all taken for photographs."""
    MANIFEST.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(works, MANIFEST)
    rows = [asdict(each) | {"path": f"data/images/{each.source}/{each.label}/{each.id}.jpg"} for each in works]
    write_table(Path("data/prepare/accepted.csv"), rows[0], rows)
    worst = [{name: row[name] for name in ("path", "source", "label")} | {"probability": 0.125} for row in rows]
    write_table(Path("data/evaluate/worst.csv"), worst[0], worst)
    write_scores({})
    answers = [{"actual": each.label, "predicted": "photo"} for each in works]
    write_table(Path("data/plots/confusion.csv"), answers[0], answers)
    epoch = {"epoch": 1.0, "train_loss": 0.7, "validation_loss": 0.6, "validation_accuracy": 0.8, "seconds": 3.0}
    write_table(Path("data/plots/training.csv"), epoch, [epoch, epoch | {"epoch": 2.0}])
    write_json(
        "data/metrics/fetch.json", {"wanted": 4321, "have": {}, "failed": 1, "failed_by_reason": {"http-404": 1}}
    )
    prepare = {"accepted": 2, "rejected": 3, "missing": 1, "rejected_by_reason": {"truncated": 3}, "groups": 2}
    counts = {"painting": {"train": 71, "validation": 72, "test": 73}}
    prepare |= {"images": {"sample": counts}, "largest_group": 1, "gray_share": {"painting": 0.5, "photo": 0.0}}
    write_json("data/metrics/prepare.json", prepare)
    best = {"best_epoch": 2.0, "epochs": 2, "validation_loss": 0.6, "validation_accuracy": 0.8, "seconds": 6.0}
    write_json("data/metrics/finetune.json", best)
    Path("data/sheets").mkdir(exist_ok=True)
    for name in ("painting", "photo", "worst"):
        scene().save(f"data/sheets/{name}.jpg")


def write_scores(left_out: dict[str, Any]) -> None:
    """What ``evaluate`` writes of its figures; those of sources left out are empty where there are none."""
    metrics = {"random": {"test": TEST, "validation": SCORES}, "left_out": left_out or None}
    write_json("data/metrics/classifier.json", metrics)
    worst = {"worst_source": 0.125, "worst_source_name": "museum", "auroc": None, "calibration_error": 0.0625}
    row = {"method": "ours", "title": "Ours", "random_accuracy": 0.5, "random_accuracy_low": 0.25}
    row |= {"random_accuracy_high": 0.875, "random_balanced_accuracy": 0.5, "random_auroc": 1.0}
    row |= {"random_calibration_error": 0.1, "left_out_mean_balanced_accuracy": 0.875}
    row |= {"left_out_mean_balanced_accuracy_low": 0.75, "left_out_mean_balanced_accuracy_high": 1.0}
    row |= {f"left_out_{name}": value for name, value in worst.items()}
    write_table(
        Path("data/evaluate/methods.csv"), row, [{k: row[k] if left_out or k[:4] != "left" else "" for k in row}]
    )
    recall = {"protocol": "random split", "source": "sample", "label": "painting", "images": 1, "recall": 0.625}
    recall |= {"low": 0.5, "high": 0.75, "auroc": "", "calibration_error": "", "loss": ""}
    both = recall | {"label": "both", "images": 2, "auroc": 0.75, "calibration_error": 0.25, "loss": 0.125}
    write_table(Path("data/evaluate/per_source.csv"), recall, [recall, both])
    bins = {"protocol": "random split", "lower": 0.0, "upper": 0.5, "images": 2}
    bins |= {"mean_probability": 0.125, "share_of_paintings": 0.5}
    empty = bins | {"lower": 0.5, "upper": 1.0, "images": 0, "mean_probability": "", "share_of_paintings": ""}
    unseen = [bins | {"protocol": "left out"}] if left_out else []
    write_table(Path("data/plots/calibration.csv"), bins, [bins, empty, *unseen])


def write_jobs(*names: str) -> None:
    """What ``clips`` to ``measure`` write, for jobs on one clip and style."""
    video: dict[str, dict[str, dict[str, float]]] = {}
    rows = []
    frames = [noise(32, 48, 3, seed=index) for index in range(FRAMES)]
    write_video(Path("data/clips/street.mp4"), frames, Fraction(25), crf=20)
    Path("data/styles").mkdir(parents=True, exist_ok=True)
    scene().save("data/styles/expressionist.png")
    for number, name in enumerate(names):
        figures = dict.fromkeys(FIGURES, 2.0)
        baseline = figures | {"warping_error_short": 0.008}
        stylized = figures | {"warping_error_short": 0.002 * (1 + number)}
        plain = stylized | {"sharpness": 1.6, "style_loss": 2.5, "content_loss_plain": 1.0}
        video[name] = {"stylized": stylized, "baseline": baseline, "plain": plain}
        for key, reference in (("ratio", baseline), ("ratio_to_plain", plain)):
            video[name][key] = {figure: stylized[figure] / reference[figure] for figure in FIGURES}
        video[name]["network_change"] = {"style_relu5_1": 0.0625, "content_relu5_2": 0.125}
        for kind in KINDS:
            path = Path(f"data/{kind}/{name}.mp4")
            path.parent.mkdir(exist_ok=True)
            shutil.copy("data/clips/street.mp4", path)
            write_json(f"data/metrics/{kind}/{name}.json", COST)
        rows += [
            {"job": name, "frame": i, "stylized": 0.001 * i, "baseline": 0.002 * i, "plain": 0.003 * i}
            for i in range(FRAMES - 1)
        ]
    write_json("data/metrics/video.json", video)
    write_table(TEMPORAL, ("job", "frame", *KINDS, FAST), rows)


def write_fast(name: str) -> None:
    """What ``fast`` and ``measure`` write of a job whose style the small network has learnt."""
    video = json.loads(Path("data/metrics/video.json").read_text())
    baseline = video[name]["baseline"]
    video[name][FAST] = dict.fromkeys(FIGURES, 1.5) | {"warping_error_short": 0.004}
    video[name]["ratio_fast"] = {figure: video[name][FAST][figure] / baseline[figure] for figure in FIGURES}
    write_json("data/metrics/video.json", video)
    Path(f"data/{FAST}").mkdir()
    shutil.copy("data/clips/street.mp4", f"data/{FAST}/{name}.mp4")
    write_json(f"data/metrics/{FAST}.json", {name: {"frames": FRAMES, "seconds": 0.252}})
    rows = read_table(TEMPORAL)
    write_table(TEMPORAL, rows[0], [row | {FAST: "0.004"} if row["job"] == name else row for row in rows])


def set_jobs(*names: str) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["stylize"]["jobs"] = {name: {"clip": "street", "styles": {"expressionist": 1.0}} for name in names}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def outputs() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in REPORT.rglob("*") if path.is_file()}


@pytest.fixture
def inputs(workspace: Path) -> None:
    write_classifier([work("painting", "p1"), work("photo", "p2")])
    write_jobs(JOB)


@pytest.mark.usefixtures("inputs")
def test_the_page_shows_what_was_measured() -> None:
    main([])
    page = Elements()
    for expected in (
        "Flicker left 25.0%",
        "Time to paint a frame 5.0 s 12 frames in 60.0 s",
        "Painting or photograph? 50.0% right on 2 test images",
        "Pictures to learn from 2 of 4,321 wanted",
        "This is the sample run.",
        "Good is a ratio of at most a third. ✓ 0.250 0.00200 0.00800",
        "painted 12 1,234 60.0 s 5.0 s",
        "plain 12 1,234 60.0 s 5.0 s",
        "Flicker painted baseline plain",
        "More than 5% apart, in favour of the fine-tuned network: sharpness +25.0%, style loss -20.0%; "
        "in favour of plain VGG16: content loss by plain VGG16 +100.0%.",
        "was changed by 6.2% (style at relu5_1), 12.5% (content at relu5_2).",
        "Content loss by plain VGG16 2.00 2.00 1.00",
        "sample painting 71 72 73 216",
        "sample CC0-1.0 2 1",
        "fetch http-404 1",
        "prepare truncated 3",
        "best of 2 epochs was number 2",
        "is a painting 0 1 is a photo 0 1",
        "this run has one. In brackets",
        "Ours 0.500 (0.250 to 0.875) 0.500 1.000 0.100",
        "0.5 is chance. 1.000 (0.250 to 0.875) 1.000",
        "random split sample painting 1 0.625 (0.500 to 0.750) \N{EN DASH} \N{EN DASH} \N{EN DASH}",
        "random split sample both 2 0.625 (0.500 to 0.750) 0.750 0.250 0.125",
        "Of each source in the test split",
        "1 of these were judged wrong",
        "Title of p1 A. Painter sample painting 12.5%",
    ):
        assert expected in page.text
    assert "Title of p2" not in page.text
    assert len(page.named("svg")) == 4
    assert "nan" not in "".join(str(line["points"]) for line in page.named("polyline"))
    assert [video["src"] for video in page.named("video")] == [
        "media/clips-street.mp4",
        f"media/stylized-{JOB}.mp4",
        f"media/baseline-{JOB}.mp4",
        f"media/plain-{JOB}.mp4",
    ]
    (job,) = page.named("article")
    assert (job["data-frame-rate"], job["data-frames"]) == ("25.000000", "12")


@pytest.mark.usefixtures("inputs")
def test_the_small_network_stands_beside_the_others() -> None:
    write_jobs(JOB, "other")
    set_jobs(JOB, "other")  # whose style it has not learnt
    main([])
    assert "one pass" not in PAGE.read_text() + SUMMARY.read_text()
    write_fast(JOB)
    main([])
    page = Elements()
    for expected in (
        "Flicker left 25.0% to 50.0%",
        "It took 21 ms a frame, decoding and encoding included, where painting by optimisation took 5.0 s.",
        "Read its flicker beside its style loss",
        "painted fast painted fast baseline Short-term warping error 0.250 0.500 0.00200 0.00400 0.00800",
        "Sharpness 1.00 0.750 2.00 1.50 2.00",
        "Flicker painted baseline plain fast 0",
        "fast 12 \N{EN DASH} 252 ms 21 ms",
        "Flicker painted baseline plain 0",
    ):
        assert page.text.count(expected) == 1, expected
    assert [video["src"] for video in page.named("video") if "fast" in str(video["src"])] == [f"media/fast-{JOB}.mp4"]
    assert len([line for line in page.named("polyline") if line["class"] == "line-4"]) == 1
    assert (REPORT / f"media/fast-{JOB}.mp4").exists()
    summary = SUMMARY.read_text()
    assert summary.count(r"| warping\_error\_short | 0.00200 | 0.00400 | 0.00800 | 0.250 | 0.500 |") == 1
    assert summary.count("| fast | 12 | \N{EN DASH} | 252 ms | 21 ms |") == 1


@pytest.mark.parametrize(
    ("ratios", "sentence"),
    [
        ({}, "No figure differs by more than 5%."),
        ({"style_loss": 1.049, "sharpness": 0.951, "content_loss": None}, "No figure differs by more than 5%."),
        (
            {"warping_error_short": 0.9, "sharpness": 0.9, "style_loss_plain": 1.0501},
            "More than 5% apart, in favour of the fine-tuned network: short-term warping error -10.0%; "
            "in favour of plain VGG16: sharpness -10.0%, style loss by plain VGG16 +5.0%.",
        ),
        ({"content_loss": 0.0}, "More than 5% apart, in favour of the fine-tuned network: content loss -100.0%."),
    ],
)
def test_less_of_all_but_sharpness_is_better(ratios: dict[str, float | None], sentence: str) -> None:
    assert compare(dict.fromkeys(FIGURES, 1.0) | ratios) == sentence


@pytest.mark.usefixtures("inputs")
def test_sources_left_out_stand_beside_the_random_split() -> None:
    main([])
    assert "left out" not in Elements().text
    write_scores(LEFT_OUT)
    main([])
    page = Elements()
    for expected in (
        "right on 2 test images of the sample museum; 87.5% on sources never seen",
        "for each of 2 sources in turn a model was trained on all the others",
        "Ours 0.500 (0.250 to 0.875) 0.500 1.000 0.100 0.875 (0.750 to 1.000) 0.125 museum \N{EN DASH} 0.062",
        "0.500 (0.250 to 0.875) \N{EN DASH} 0.500 balanced accuracy",
        "The same with both classes counted alike. 0.500 (0.250 to 0.875) 0.875 (0.062 to 0.938) 0.500",
        "0.5 is chance. 1.000 (0.250 to 0.875) \N{EN DASH} 1.000",
        "of a source: museum. \N{EN DASH} 0.125 (0.062 to 0.938) \N{EN DASH}",
        "random split ideal left out",
        "Of each source that was left out",
    ):
        assert expected in page.text
    assert "None" not in PAGE.read_text() + SUMMARY.read_text()
    assert "| Ours | 0.500 (0.250 to 0.875) | 0.500 | 1.000 | 0.100 | 0.875 (0.750 to 1.000) | 0.125 museum |" in (
        SUMMARY.read_text()
    )


@pytest.mark.usefixtures("inputs")
def test_a_ratio_over_its_limit_is_marked() -> None:
    write_jobs("other", "other-2", JOB)  # the third has three times the error of the first
    main([])
    assert "of at most a third. ✗ 0.750" in Elements().text


@pytest.mark.usefixtures("inputs")
def test_the_folder_holds_all_that_the_page_refers_to_and_nothing_more() -> None:
    main([])
    page = Elements()
    addresses = {address for address in page.addresses() if address != "data:,"}
    assert {str(REPORT / address) for address in addresses} == outputs().keys() - {str(PAGE), str(SUMMARY)}
    for address in addresses:
        assert (REPORT / address).resolve().is_relative_to(REPORT.resolve())
    assert not re.search(r"https?:|url\(|@import|\bimport\b|fetch\(", PAGE.read_text())
    assert (REPORT / "media" / f"stylized-{JOB}.mp4").read_bytes() == Path(f"data/stylized/{JOB}.mp4").read_bytes()


@pytest.mark.usefixtures("inputs")
def test_texts_from_outside_stay_texts() -> None:
    title = "<script>alert(1)</script>{{ 7 * 7 }}{% for %}"
    creator = "\"'><img src=https://example.org/x onerror=alert(1)>"
    licence = "CC | BY\n\n# <b>*free*</b> [click](https://example.org) \\"
    write_classifier([work("painting", "p1", title=title, creator=creator, licence=licence), work("photo", "p2")])
    main([])
    page = Elements()
    assert {title, creator} <= set(page.texts)
    assert len(page.named("script")) == 1
    assert not [image for image in page.named("img") if "onerror" in image or "http" in str(image["src"])]
    (row,) = [line for line in SUMMARY.read_text().splitlines() if "BY" in line]
    assert row == r"| sample | CC \| BY \# \<b\>\*free\*\</b\> \[click\](https://example.org) \\ | 1 | 1 |"


@pytest.mark.usefixtures("inputs")
def test_two_jobs_have_a_player_each() -> None:
    set_jobs("first", "second")
    write_jobs("first", "second")
    main([])
    page = Elements()
    assert [video["src"] for video in page.named("video")] == [
        f"media/{name}.mp4"
        for job in ("first", "second")
        for name in ("clips-street", *(f"{kind}-{job}" for kind in KINDS))
    ]
    assert "Flicker left 25.0% to 50.0%" in page.text
    assert "Time to paint a frame 5.0 s 24 frames in 2.0 min" in page.text
    summary = SUMMARY.read_text()
    assert "### first\n" in summary
    assert "### second\n" in summary


@pytest.mark.usefixtures("workspace")
def test_without_jobs_and_sheets_the_rest_is_there() -> None:
    set_jobs()
    write_classifier([work("painting", "p1")])
    shutil.rmtree("data/sheets")
    main([])
    page = Elements()
    assert not page.named("video")
    assert not page.named("img")
    assert "there is no job under stylize.jobs" in page.text
    assert "right on 2 test images" in page.text
    assert "No video was painted." in SUMMARY.read_text()


@pytest.mark.usefixtures("workspace")
def test_figures_of_real_museums_may_be_quoted() -> None:
    set_jobs()
    write_classifier([work("painting", "p1")])
    metrics = json.loads(Path("data/metrics/prepare.json").read_text())
    write_json("data/metrics/prepare.json", metrics | {"images": {"museum": metrics["images"]["sample"]}})
    main([])
    assert "sample run" not in PAGE.read_text() + SUMMARY.read_text()


@pytest.mark.usefixtures("inputs")
def test_the_sound_of_a_clip_has_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    assert len(Elements().named("button")) == 1
    monkeypatch.setattr(report, "probe", lambda path: replace(probe(path), has_sound=True))
    main([])
    assert len(Elements().named("button")) == 2


@pytest.mark.usefixtures("inputs")
def test_a_second_run_gives_the_same_bytes() -> None:
    main([])
    first = outputs()
    main([])
    assert outputs() == first
    assert len(first) == 12


@pytest.mark.parametrize(
    "path",
    [
        "data/index/manifest.jsonl",
        "data/prepare/accepted.csv",
        "data/evaluate/worst.csv",
        "data/evaluate/methods.csv",
        "data/metrics/fetch.json",
        "data/metrics/video.json",
        f"data/metrics/baseline/{JOB}.json",
        f"data/metrics/plain/{JOB}.json",
        "data/plots/training.csv",
        "data/plots/temporal.csv",
        "data/clips/street.mp4",
        f"data/stylized/{JOB}.mp4",
        f"data/plain/{JOB}.mp4",
        "data/styles/expressionist.png",
    ],
)
@pytest.mark.usefixtures("inputs")
def test_a_missing_input_is_named_and_nothing_is_written(path: str) -> None:
    Path(path).unlink()
    with pytest.raises(UserError, match=f"^{re.escape(path)} is missing; `dvc repro( index)?` makes it$"):
        main([])
    assert not list(REPORT.parent.glob("*report*"))


@pytest.mark.usefixtures("inputs")
def test_mistakes_are_told_in_one_sentence() -> None:
    video = Path("data/metrics/video.json")
    video.write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(UserError, match=r"video\.json is not JSON; delete it"):
        main([])
    video.write_text("{}")
    with pytest.raises(UserError, match=f"says nothing of job {JOB}; run `dvc repro measure`"):
        main([])
    write_jobs(JOB)
    write_manifest([work("painting", "p1")], MANIFEST)
    with pytest.raises(UserError, match=r"accepted\.csv has an image that data/index/manifest\.jsonl does not"):
        main([])
    MANIFEST.write_text("{}\n")
    with pytest.raises(UserError, match=r"manifest\.jsonl:1: source: .*; run `dvc repro -sf index`"):
        main([])


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("data/metrics/fetch.json", "wanted"),
        ("data/metrics/prepare.json", "gray_share"),
        ("data/metrics/finetune.json", "seconds"),
        ("data/metrics/classifier.json", "random"),
        ("data/metrics/classifier.json", "left_out"),
        ("data/metrics/video.json", "ratio"),
        ("data/metrics/video.json", "plain"),
        ("data/metrics/video.json", "ratio_to_plain"),
        ("data/metrics/video.json", "fast"),
        ("data/metrics/video.json", "ratio_fast"),
        (f"data/metrics/stylized/{JOB}.json", "seconds"),
        ("data/metrics/fast.json", "seconds"),
        ("data/metrics/fast.json", JOB),
    ],
)
@pytest.mark.usefixtures("inputs")
def test_a_figure_that_a_file_lacks_is_named(path: str, key: str) -> None:
    write_fast(JOB)
    contents = json.loads(Path(path).read_text())
    del (contents if key in contents else contents[JOB])[key]
    write_json(path, contents)
    with pytest.raises(UserError, match=rf"^{re.escape(path)} says nothing of {key}; delete it, and `dvc repro` "):
        main([])
    assert not REPORT.exists()


@pytest.mark.usefixtures("inputs")
def test_what_could_not_be_measured_is_a_dash_and_a_gap() -> None:
    video = json.loads(Path("data/metrics/video.json").read_text())
    for key in ("ratio", "ratio_to_plain"):
        video[JOB][key] = dict.fromkeys(video[JOB][key])
    video[JOB]["stylized"] |= {"warping_error_long": None, "style_loss": None}
    write_json("data/metrics/video.json", video)
    rows = [row | {"stylized": ""} if row["frame"] in "34" else row for row in read_table(TEMPORAL)]
    write_table(TEMPORAL, rows[0], rows)
    main([])
    page = Elements()
    assert "Flicker left \N{EN DASH} of what" in page.text
    assert "of at most a third. \N{EN DASH} 0.00200 0.00800" in page.text
    assert "No figure differs by more than 5%." in page.text
    assert "None" not in PAGE.read_text() + SUMMARY.read_text()
    pieces = [str(line["points"]).split() for line in page.named("polyline") if line["class"] == "line-1"]
    assert [len(piece) for piece in pieces[:2]] == [3, FRAMES - 1 - 3 - 2]


@pytest.mark.usefixtures("inputs")
def test_a_video_of_which_no_frame_could_be_measured_is_shown() -> None:
    write_fast(JOB)
    rows = [row | dict.fromkeys((*KINDS, FAST), "") for row in read_table(TEMPORAL)]
    write_table(TEMPORAL, rows[0], rows)
    main([])
    assert len(Elements().named("svg")) == 4


@pytest.mark.usefixtures("inputs")
def test_a_failing_run_leaves_the_last_report(monkeypatch: pytest.MonkeyPatch) -> None:
    main([])
    first = outputs()
    write_json(f"data/metrics/stylized/{JOB}.json", COST | {"seconds": 1.0})

    def fail(template: str, contents: object) -> str:
        if template == "report.md":
            raise OSError("no space left on device")
        return "half a report"

    with monkeypatch.context() as patched:
        patched.setattr(report, "render", fail)
        with pytest.raises(OSError, match="no space"):
            main([])
    assert outputs() == first
    main([])
    assert outputs().keys() == first.keys()
    assert outputs()[str(PAGE)] != first[str(PAGE)]


@pytest.mark.usefixtures("inputs")
def test_what_a_killed_run_left_is_not_taken() -> None:
    main([])
    first = outputs()
    half = REPORT.with_name(".report.new") / "media" / "half.mp4"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    REPORT.rename(REPORT.with_name(".report.old"))  # killed between the two renames
    main([])
    assert outputs() == first
    assert list(REPORT.parent.glob("*report*")) == [REPORT]
