"""Every setting of ``params.yaml``, typed and checked: one dataclass a stage, read once in its ``main``."""

import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from pipeline.console import UserError

PARAMS = Path("params.yaml")
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

Ratio = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
"""A name becomes part of file names and of DVC stage names."""
FrameRange = Annotated[str, Field(pattern=r"^\d*:\d*$")]
CropSide = Annotated[int, Field(ge=32, le=1024, multiple_of=32)]
"""In pixels."""
FeatureType = Literal["float16", "float32"]
Colours = Literal["style", "matched", "content"]
"""Whose colours a painting has: the style's; the style's, matched to the content's; or the content's own."""
Start = Literal["warped", "last", "noise"]
Shares = Literal["closest-first", "equal"]
Strategy = Literal["auto", "ddp"]
"""Of Lightning: the network is small enough to be whole on each device."""
Layer = Annotated[str, Field(pattern=r"^relu(1_[12]|2_[12]|3_[123]|4_[123]|5_[123])$")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Host:
    """How politely one host is asked."""

    delay_s: NonNegative
    """From one request to the next; a longer Crawl-delay of its robots.txt is kept."""
    concurrency: Count
    """Requests at a time."""
    robots_txt: bool = True
    """Whether it is obeyed, beyond its Crawl-delay; true if left out."""


Source = Literal["sample", "cleveland", "nga", "met", "aic", "commons", "inaturalist"]
CONTACT_HOST = re.compile(r"(?:https?://|(?<=[\w+-])@)([\w.-]*\w)")
"""The host of a web or mail address."""
NOBODYS_HOST = re.compile(r"(.+\.)?(localhost|local|test|invalid|example(\.\w+)?|your-?domain\.\w+)|[^.]+|.*\d")
"""Hosts of documentation and of this machine (RFC 2606, RFC 6761), the usual placeholder, and numbers."""


def names_contact(user_agent: str) -> bool:
    """Whether a crawler's name for itself has a web or mail address where somebody can be found."""
    return any(not NOBODYS_HOST.fullmatch(host) for host in CONTACT_HOST.findall(user_agent.lower()))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Crawl:
    """What ``index`` and ``fetch`` bring home, and how politely."""

    snapshot: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    per_class: Count
    min_per_class: Count
    quotas: dict[Source, dict[Literal["painting", "photo"], Annotated[int, Field(ge=0)]]]
    licences: Annotated[tuple[str, ...], Field(min_length=1)]
    exclude: tuple[Annotated[str, Field(pattern=rf"^({'|'.join(get_args(Source))})/[A-Za-z0-9._-]+$")], ...]
    max_error_ratio: Ratio
    timeout_s: Positive
    max_image_mb: Positive
    retries: Annotated[int, Field(ge=0, le=20)]
    backoff_s: Positive
    patience_s: NonNegative
    max_refusals: Count
    user_agent: Annotated[str, Field(min_length=3, pattern=r"^[ -~]+$")]
    hosts: dict[str, Host]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "default" not in self.hosts:
            raise ValueError("hosts needs an entry named default")
        if self.min_per_class > self.per_class:
            raise ValueError("min_per_class is larger than per_class")
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("sources names one twice")
        if set(self.sources) - {"sample"} and not names_contact(self.user_agent):
            raise ValueError("user_agent names nobody to turn to; live museums want your mail or web address in it")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prepare:
    """Which images are accepted, and how they are split."""

    min_side_px: Annotated[int, Field(ge=32)]
    """Less is too small for the network."""
    max_megapixels: Annotated[float, Field(gt=0, le=178)]
    """178 is what Pillow decodes at most."""
    short_side_px: Annotated[int, Field(ge=32)]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    validation_ratio: Annotated[float, Field(gt=0, lt=1)]
    test_ratio: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation_ratio + self.test_ratio >= 1:
            raise ValueError("validation_ratio and test_ratio leave nothing to train on")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Imitations:
    """How many paintings are made of the training photographs."""

    per_photo: Annotated[int, Field(ge=0)]
    transferred: Ratio
    styles: Annotated[str, Field(min_length=1)] | None
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Weights:
    """Where the convolutions of VGG16 come from."""

    source: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Features:
    """What the frozen trunk computes once."""

    crop_px: CropSide
    views: Count
    dtype: FeatureType
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Finetune:
    """How block 5 and the head are trained."""

    probe_l2: NonNegative
    imitation_share: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Positive
    weight_decay: NonNegative
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Count
    max_epochs: Count
    patience_epochs: Count
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Compare:
    """How the methods are trained that the classifier is compared with."""

    probe_l2: NonNegative
    head_epochs: Count
    original_epochs: Count
    seed: Seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evaluate:
    """How the classifier is measured."""

    bootstrap_samples: Annotated[int, Field(ge=100)]
    """Of fewer, the outermost are too few to end an interval of 95%."""
    calibration_bins: Annotated[int, Field(ge=2)]
    worst_images: Annotated[int, Field(ge=1, le=60)]
    """More would not fit into a picture of many sources."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Clip:
    """A video and the part of it that is painted."""

    source: Annotated[str, Field(min_length=1)]
    frames: FrameRange
    width_px: Annotated[int, Field(ge=64)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Style:
    """A picture whose style is taken."""

    source: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Flow:
    """Optical flow (DIS) and the constants of its reliability (Ruder 2016, section 4)."""

    finest_scale: Annotated[int, Field(ge=0, le=4)]
    gradient_descent_iterations: Count
    variational_refinement_iterations: Annotated[int, Field(ge=0)]
    consistency_ratio: NonNegative
    consistency_offset: NonNegative
    boundary_ratio: NonNegative
    boundary_offset: NonNegative


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Job:
    """One video: a clip painted in a style, or a mixture of styles."""

    clip: Name
    """One of those under clips."""
    styles: Annotated[dict[Name, Positive], Field(min_length=1)]
    """Of those under styles, each with its weight; the weights may have any sum."""
    styles_at_end: dict[Name, Positive] = field(default_factory=dict)
    """The weights that those of the first frame change to, evenly, until the last; empty if they do not change."""

    def style_names(self) -> list[str]:
        """All styles of the job, in alphabetical order."""
        return sorted({*self.styles, *self.styles_at_end})

    def weights(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of the styles, in that order, at the first frame and at the last."""
        names, last = self.style_names(), self.styles_at_end or self.styles
        return tuple(self.styles.get(name, 0.0) for name in names), tuple(last.get(name, 0.0) for name in names)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Multipass:
    """Many short passes over a shot, in turn forwards and backwards (Ruder 2016, section 5.3)."""

    passes: Annotated[int, Field(ge=2)]
    """Forwards and backwards together."""
    iterations: Count
    """Of each frame in each pass."""
    blend_weight: NonNegative
    """Of the painting carried along from the neighbour, beside that of the last pass."""
    temporal_from_pass: Count
    """The first pass, counted from 1, that is held to the neighbour."""
    temporal_weight: NonNegative
    """Then, in place of that of stylize."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stylize:
    """The optimisation. Losses live on the 0 to 255 scale of VGG's input, as in Ruder 2016."""

    content_layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    style_layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    content_weight: NonNegative
    style_weight: NonNegative
    temporal_weight: NonNegative
    temporal_intervals: Annotated[tuple[Count, ...], Field(min_length=1)]
    """How many frames back each frame is tied to, the closest first: J of Ruder 2016, eq. 8."""
    temporal_shares: Shares
    tv_weight: NonNegative
    strength: Ratio
    colours: Colours
    start: Start
    scales: Annotated[int, Field(ge=1, le=6)]
    multipass: Multipass | None
    first_frame_iterations: Count
    next_frame_iterations: Count
    stop_relative_change: NonNegative
    stop_window: Count
    workers: Count
    """Shots that are painted at the same time; the result does not depend on it."""
    jobs: dict[Name, Job] = field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.temporal_intervals != tuple(sorted({1, *self.temporal_intervals})):
            raise ValueError("temporal_intervals should begin with 1 and grow, such as [1, 10]")
        return self

    def job(self, name: str) -> Job:
        """Raises :class:`UserError` if there is no job of this name."""
        if name not in self.jobs:
            raise UserError(f"there is no job {name!r} under stylize.jobs in params.yaml")
        return self.jobs[name]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Distill:
    """How the network is trained that paints a frame in one pass. Losses are relative to their targets, but for the
    temporal one and total variation, which live on the 0 to 255 scale.
    """

    styles: Annotated[tuple[Name, ...], Field(min_length=1)]
    start: Annotated[str, Field(min_length=1)] | None
    fine_channels: Annotated[int, Field(ge=2, le=256, multiple_of=2)]
    coarse_channels: Annotated[int, Field(ge=1, le=512)]
    blocks: Annotated[int, Field(ge=1, le=16)]
    side_px: Annotated[int, Field(ge=32, multiple_of=8)]
    style_side_px: Annotated[int, Field(ge=32)]
    content_layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    style_layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    content_weight: NonNegative
    style_weight: NonNegative
    temporal_weight: NonNegative
    tv_weight: NonNegative
    learning_rate: Positive
    batch_size: Count
    steps: Count
    checkpoint_steps: Count
    seed: Seed

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.styles)) < len(self.styles):
            raise ValueError("styles names one twice")
        if self.steps % self.checkpoint_steps:
            raise ValueError("steps should be a multiple of checkpoint_steps")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Measure:
    """How steadiness is measured."""

    long_interval_frames: Annotated[int, Field(ge=2)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Machine:
    """On what the work is spread. The results do not depend on it, so no stage does."""

    devices: Count = 1
    num_nodes: Count = 1
    strategy: Strategy = "auto"
    workers: Count = 1

    @property
    def processes(self) -> int:
        """Those that train together."""
        return self.devices * self.num_nodes


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Retrain:
    """What a new model has to reach to go into service, and how long a scheduled run may take."""

    min_balanced_accuracy: Ratio
    max_source_loss: Ratio
    max_calibration_error: Ratio
    repro_timeout_h: Positive
    push_timeout_h: Positive


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Params:
    """The whole of ``params.yaml``."""

    crawl: Crawl
    prepare: Prepare
    imitations: Imitations
    weights: Weights
    features: Features
    finetune: Finetune
    compare: Compare
    evaluate: Evaluate
    clips: dict[Name, Clip]
    styles: dict[Name, Style]
    flow: Flow
    stylize: Stylize
    distill: Distill
    measure: Measure
    retrain: Retrain
    machine: Machine = field(default_factory=Machine)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, job in self.stylize.jobs.items():
            if job.clip not in self.clips:
                raise ValueError(f"stylize.jobs.{name} names the clip {job.clip!r}, which is not under clips")
            for style in job.style_names():
                if style not in self.styles:
                    raise ValueError(f"stylize.jobs.{name} names the style {style!r}, which is not under styles")
        for style in self.distill.styles:
            if style not in self.styles:
                raise ValueError(f"distill.styles names the style {style!r}, which is not under styles")
        return self


def default_params() -> Params:
    """The settings of this project where the current folder is one, else those that were installed."""
    here = PARAMS.exists() and "\nstylize:" in PARAMS.read_text(errors="replace")  # many projects have a params.yaml
    installed, checked_out = (Path(__file__).parents[level] / PARAMS.name for level in (0, 1))
    return load_params(PARAMS if here else installed if installed.exists() else checked_out)


def load_params(path: Path = PARAMS) -> Params:
    """Read and check ``path``.

    Raises :class:`UserError` that names the parameter at fault.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is not here; run this in the root of the project") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}); save it as such") from None
    try:
        return TypeAdapter(Params).validate_python(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the second is of a date or number that is none
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
