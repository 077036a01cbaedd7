"""Paint the shots of a clip at the same time, on the devices of one machine or of a cluster, with Ray.

Shots are independent, for painting begins anew at each. Workers leave their finished frames in the folder where the
painting of the whole clip looks for them, so the result is that of one process.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pipeline.cluster import connected, remote
from pipeline.console import progress
from pipeline.motion import Frame
from pipeline.painting.clip import CUT_RELIABILITY
from pipeline.painting.work import Work


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

    What a worker that died had finished is kept. Raises as :func:`pipeline.cluster.connected` does.
    """
    with (
        connected(workers) as ray,
        progress(total=len(shots), unit="shot", description=f"paint {work.clip.name}") as bar,
    ):
        submit = remote(ray, paint_shot, on_gpu=True)
        waiting = [submit(work, folder, shot) for shot in shots]
        while waiting:
            done, waiting = ray.wait(waiting)
            ray.get(done)
            bar.update(len(done))


def paint_shot(work: Work, folder: Path, shot: range) -> None:
    """Paint one shot into ``folder``, in a process of its own."""
    for _ in work.paint(folder, f"frames {shot.start}:{shot.stop}", shot):
        pass
