"""A network in 8 bits on the CPU, by OpenVINO.

The file is that of :func:`pipeline.fast.exported.write_int8`. It takes the weights of the styles with each frame.
"""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from pipeline.console import UserError
from pipeline.motion import Frame

_COMPILING = threading.Lock()
"""Of the process: two first passes at a time would wait for each other for ever, see :func:`_requests`."""


class Int8Network:
    """Paints ``at_once`` frames at a time, each on as many cores as that leaves it."""

    def __init__(self, path: Path, at_once: int) -> None:
        self._requests = lru_cache(maxsize=1)(lambda height, width: _requests(path, at_once, height, width))

    def fold(self, weights: Tensor) -> Callable[[Frame], Frame]:
        """What paints frames (H, W, 3), uint8, in the mixture of ``weights`` (styles,)."""
        shares = weights[None].numpy()

        def paint(frame: Frame) -> Frame:
            with _COMPILING:  # takes half a second for frames of a new size, once for all threads
                free = self._requests(*frame.shape[:2])
            request = free.get()
            try:
                [planes] = request.infer({"image": frame[None], "weights": shares})[0]
            finally:
                free.put(request)
            return np.asarray(cv2.merge(list(planes)), np.uint8)

        return paint


@lru_cache
def _core() -> Any:
    """One for the whole process, which no thread may end.

    It gives the thread that first compiles a stack for signals, which would be gone, and the next signal deadly.
    """
    from openvino import Core  # which takes half a second to load

    return Core()


def _requests(path: Path, at_once: int, height: int, width: int) -> "SimpleQueue[Any]":
    """As many as the network can answer at a time: frames (1, height, width, 3) to (1, 3, height, width), all uint8.

    All that happens to a pixel is within the graph, but for the last change of order, which takes OpenVINO a
    millisecond. New requests for each frame would wait for each other.
    """
    from openvino import Layout, Type, opset13
    from openvino.preprocess import PrePostProcessor

    try:
        graph = PrePostProcessor(_core().read_model(path))
        image, painted = graph.input("image"), graph.output("painted")
    except RuntimeError:
        raise UserError(f"{path} holds no network that paints; write it again, or delete it") from None
    image.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC")).set_shape([1, height, width, 3])
    image.model().set_layout(Layout("NCHW"))
    image.preprocess().convert_element_type(Type.f32).scale(255.0)
    levels = np.float32(255)
    painted.postprocess().custom(lambda x: opset13.round(opset13.multiply(x, levels), "half_to_even").output(0))
    painted.tensor().set_element_type(Type.u8)
    hints = {"PERFORMANCE_HINT": "LATENCY" if at_once == 1 else "THROUGHPUT", "NUM_STREAMS": at_once}
    compiled = _core().compile_model(graph.build(), "CPU", hints)
    free: SimpleQueue[Any] = SimpleQueue()
    for _ in range(at_once):
        request = compiled.create_infer_request()
        # The first pass sets up OpenVINO's binding to NumPy, in which a thread that holds the interpreter's lock may
        # wait for one that waits for this lock.
        request.get_tensor("image").data.fill(0)
        request.infer()
        free.put(request)
    return free
