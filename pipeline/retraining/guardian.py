"""Run a command in a process group of its own, and end the whole group as soon as standard input ends.

Whoever starts this holds the other end of standard input, and a process that was killed holds nothing: what it had
started is gone a moment later, and with it the memory of the GPU.

    python -IS guardian.py COMMAND...
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

GRACE_S = 10.0
"""From the request to end to the order: git removes its locks in that time."""


def main() -> None:
    """End as the command does, after everything that it started."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # systemd sends it to all; the group has to go first
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0)

    def end() -> None:
        sys.stdin.buffer.read()
        _send(child.pid, signal.SIGTERM)
        time.sleep(GRACE_S)
        _send(child.pid, signal.SIGKILL)

    threading.Thread(target=end, daemon=True).start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # until it is reaped, nobody else can have its number
    _send(child.pid, signal.SIGKILL)
    code = child.wait()
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)  # the thread still reads


def _send(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
