"""Paint the shots of a clip at the same time, on the devices of one machine or of a cluster, with Ray.

Shots are independent, for painting begins anew at each. Workers leave their finished frames in the folder where the
painting of the whole clip looks for them, so the result is that of one process; on a cluster, all machines need to see
the project's folder under the same path. Ray is optional: ``pip install 'paint-your-video[cluster]'``.
"""

import logging
import os
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from pipeline.console import UserError, progress
from pipeline.motion import Frame
from pipeline.painting.clip import CUT_RELIABILITY
from pipeline.painting.work import Work

RETRIES = 3
"""Of a shot whose worker died; what it had finished is kept."""


def find_shots(work: Work) -> list[range]:
    """The frames of each shot; where none is tied to another, each is one."""
    begins = [0]
    last: Frame | None = None
    for index, frame in enumerate(work.read()):
        if last is not None:
            motion = work.motion
            if motion is None or motion(index, frame, index - 1, last)[1].mean() < CUT_RELIABILITY:
                begins.append(index)
        last = frame
    return [range(begin, end) for begin, end in pairwise([*begins, work.count])]


def paint_shots(work: Work, folder: Path, shots: Sequence[range], workers: int) -> None:
    """Paint all ``shots`` into ``folder``, ``workers`` at a time, or as many as a cluster has devices for.

    Raises :class:`UserError` without Ray, for what the painting raises, and for a worker that died time and again.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns where there is no GPU
    try:
        import ray
    except ImportError:
        raise UserError("more than one worker needs Ray: pip install 'paint-your-video[cluster]'") from None
    gpus = torch.cuda.device_count()
    elsewhere = "RAY_ADDRESS" in os.environ
    on_termination = signal.getsignal(signal.SIGTERM)
    ray.init(
        num_cpus=None if elsewhere else workers,
        num_gpus=None if elsewhere else gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    signal.signal(signal.SIGTERM, on_termination)  # Ray has put its own there, with another exit status
    try:
        remote = ray.remote(num_cpus=1, num_gpus=1 if gpus else 0, max_retries=RETRIES)(paint_shot)
        waiting = [remote.remote(work, folder, shot, torch.get_num_threads()) for shot in shots]
        with progress(total=len(shots), unit="shot", description=f"paint {work.clip.name}") as bar:
            while waiting:
                done, waiting = ray.wait(waiting)
                ray.get(done)
                bar.update(len(done))
    except ray.exceptions.WorkerCrashedError:
        raise UserError(f"a worker died {RETRIES + 1} times at one shot; is there memory for so many?") from None
    finally:
        ray.shutdown()


def paint_shot(work: Work, folder: Path, shot: range, threads: int) -> None:
    """Paint one shot into ``folder``, in a process of its own."""
    torch.set_num_threads(threads)  # sums of as many parts round alike
    for _ in work.paint(folder, f"frames {shot.start}:{shot.stop}", shot):
        pass
