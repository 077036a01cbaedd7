"""A small museum of photographs and paintings, served over HTTP on loopback.

``python -m scrapers.sample`` opens it. Its works have addresses at the host ``museum.localhost``, the same in every
run; :class:`scrapers.addresses.PublicHandler` leads a crawler from there to the port where the museum listens.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "museum.localhost"


class MuseumError(Exception):
    """The museum did not open."""


@contextmanager
def museum() -> Iterator[str]:
    """Open the museum in a process of its own, and yield its address as ``http://127.0.0.1:PORT``.

    The process ends when its standard input closes, which it does even if this process is killed. Raises
    :class:`MuseumError`.
    """
    command = [sys.executable, "-m", "scrapers.sample"]
    # In a session of its own it is spared the Ctrl-C that is meant for this process.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout  # noqa: S101
        address = process.stdout.readline().strip()
        if not address.startswith("http://"):
            raise MuseumError(address or "the sample museum did not open")
        yield address
