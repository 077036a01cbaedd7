"""What a frame costs the small network in each runtime, and how much of the machine that is.

    python -m benchmarks.runtimes --width 640 --height 360

Prints the median and the 95th percentile of the milliseconds of a frame, frames a second, and the GFLOP/s as a share
of those of a large matrix product in the fastest precision of torch, which 8 bits may exceed. Torch paints in the
mixture that was folded into the network, as ``paint video --fast`` does; the others take the weights with each frame.
Random weights cost what trained ones do.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import torch
from torch import Tensor

from benchmarks.passes import PEAK_SIDE, milliseconds
from pipeline.device import network_dtype
from pipeline.fast.exported import write_float, write_int8
from pipeline.fast.folded import fold
from pipeline.fast.network import FastNetwork, Widths

STYLES = 7
CALIBRATED = 2
CPU = torch.device("cpu")
Pass = Callable[[], Tensor]


def main() -> None:
    """Time every runtime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=640, help="of the frame, in pixels")
    parser.add_argument("--height", type=int, default=360, help="of the frame, in pixels")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network = FastNetwork(Widths(fine=32, coarse=80, blocks=4), [str(style) for style in range(STYLES)])
    network.requires_grad_(False).eval()
    frame = torch.randint(0, 256, (arguments.height, arguments.width, 3), dtype=torch.uint8)
    gigaflops = 2 * network.multiply_adds() * arguments.width * arguments.height / 1e9
    factor = torch.rand(PEAK_SIDE, PEAK_SIDE, dtype=network_dtype(CPU))
    peak = 2 * PEAK_SIDE**3 / 1e6 / np.median(milliseconds(lambda: factor @ factor, rounds=5))
    print(f"{arguments.width} x {arguments.height} pixels, {arguments.threads} threads, peak {peak:.0f} GFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        for name, run in runtimes(network, frame, arguments.threads, Path(folder)):
            median, slow = np.percentile(milliseconds(run), (50, 95))
            share = 1e3 * gigaflops / median / peak
            print(f"{name:20} {median:6.1f} ms, 95% within {slow:6.1f} ms, {1e3 / median:5.1f} frames/s, {share:4.0%}")


def runtimes(network: FastNetwork, frame: Tensor, threads: int, folder: Path) -> Iterator[tuple[str, Pass]]:
    """Name, and what paints the frame (H, W, 3) once."""
    weights = torch.full((1, STYLES), 1 / STYLES)
    for dtype in dict.fromkeys((torch.float32, network_dtype(CPU))):
        folded = fold(network, weights[0], dtype)
        yield f"torch {str(dtype).removeprefix('torch.')}", lambda folded=folded: folded(frame).round_().byte()  # type: ignore[misc]
    image = frame.permute(2, 0, 1)[None] / 255
    inputs = {"image": image.numpy(), "weights": weights.numpy()}
    float32, int8 = folder / "fast.onnx", folder / "fast-int8.onnx"
    write_float(float32, network)
    write_int8(int8, float32, torch.rand(CALIBRATED, 3, 128, 128))
    for path in (float32, int8):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        yield f"ONNX Runtime {path.stem}", lambda session=session: torch.from_numpy(session.run(None, inputs)[0])  # type: ignore[misc]
    for path, precision in ((float32, "f32"), (float32, "bf16"), (int8, "f32")):
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        request = openvino.compile_model(path, "CPU", hints).create_infer_request()
        yield f"OpenVINO {path.stem} {precision}", lambda request=request: torch.from_numpy(request.infer(inputs)[0])  # type: ignore[misc]


if __name__ == "__main__":
    main()
