"""Work on many items at a time with Ray: in processes of this machine, or on the machines of a cluster.

With ``RAY_ADDRESS`` in the environment it is the cluster there, whose machines all need to see the project's folder
under the same path, and which takes as many items at a time as it has devices for. A worker that dies costs its item,
which another one begins anew. Ray is optional: ``pip install 'paint-your-video[cluster]'``.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline.console import UserError

RETRIES = 3
"""Of an item whose worker died."""
AHEAD = 2
"""Items a worker that are begun before the first of them is taken: results wait in memory, or on Ray's disk."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def connected(workers: int) -> Iterator[Any]:
    """Yield the module ``ray``, connected to a cluster of so many workers, or to the one at ``RAY_ADDRESS``.

    Raises :class:`UserError` without Ray, for one that a worker raised, and for workers that died time and again.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns where there is no GPU
    try:
        import ray
    except ImportError:
        raise UserError("more than one worker needs Ray: pip install 'paint-your-video[cluster]'") from None
    elsewhere = "RAY_ADDRESS" in os.environ
    on_termination = signal.getsignal(signal.SIGTERM)
    ray.init(
        num_cpus=None if elsewhere else workers,
        num_gpus=None if elsewhere else torch.cuda.device_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    signal.signal(signal.SIGTERM, on_termination)  # Ray has put its own there, with another exit status
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # as it would be without Ray: that of Ray is a whole traceback
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        raise UserError(f"a worker died {RETRIES + 1} times at one item; is there memory for so many?") from None
    finally:
        ray.shutdown()


def remote(ray: Any, function: Callable[..., Result], *, on_gpu: bool) -> Callable[..., Any]:
    """``function`` to be called in a worker of its own core, and GPU if there are any and it is to be ``on_gpu``.

    It may be large: a worker gets it once. Paths mean there what they mean here, and sums are of as many parts as here,
    so they round alike.
    """
    gpus = 1 if on_gpu and torch.cuda.is_available() else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_call)
    submit: Callable[..., Any] = partial(task.remote, (ray.put(function),), Path.cwd(), torch.get_num_threads())
    return submit


def _call(reference: tuple[Any], folder: Path, threads: int, *arguments: Any) -> Any:
    os.chdir(folder)
    torch.set_num_threads(threads)
    return _fetch(*reference)(*arguments)


@cache
def _fetch(reference: Any) -> Callable[..., Any]:
    import ray

    function: Callable[..., Any] = ray.get(reference)
    return function


def in_cluster(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    at_a_time: int = 1,
    on_gpu: bool = False,
) -> Iterator[Result]:
    """``function`` of each of ``items``, in order; a worker gets them ``at_a_time``, and few results wait.

    Raises as :func:`connected` does.
    """
    parts = (items[start : start + at_a_time] for start in range(0, len(items), at_a_time))
    with connected(workers) as ray:
        submit = remote(ray, partial(_each, function), on_gpu=on_gpu)
        slots = int(ray.cluster_resources().get("GPU" if on_gpu and torch.cuda.is_available() else "CPU", 1))
        begun = deque(map(submit, islice(parts, AHEAD * slots)))
        while begun:
            results: list[Result] = ray.get(begun.popleft())
            begun.extend(map(submit, islice(parts, 1)))
            yield from results


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
