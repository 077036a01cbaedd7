"""Stores files in a process of its own: hashing and writing take as long as downloading, and a second core is free.

``python -m scrapers.storing FOLDER`` is that process. On its standard input it takes, for each file, a line of JSON
with ``path``, ``address`` and ``size_bytes``, then the bytes; it answers with a line of JSON: null, or what an
:class:`OSError` is made of. It ends when its input closes, which it does even if the other process is killed.
"""

import asyncio
import errno
import fcntl
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from scrapers.files import Store

PIPE_BYTES = 2**20
"""Room for some images; what does not fit waits in the memory of the sender."""


@asynccontextmanager
async def storing(store: Store) -> AsyncIterator[Callable[[str, bytes], Awaitable[None]]]:
    """Start the process; yield what is :meth:`Store.add` there, and returns when the file is in the store.

    It raises :class:`OSError` for a file that cannot be stored. ``store`` itself learns nothing of the files.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "scrapers.storing", str(store.folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # spared the Ctrl-C that is meant for this process
    )
    assert process.stdin  # noqa: S101
    assert process.stdout  # noqa: S101
    sender, receiver = process.stdin, process.stdout
    fcntl.fcntl(sender.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    waiting: deque[asyncio.Future[None]] = deque()

    async def listen() -> None:
        async for line in receiver:
            error = json.loads(line)
            future = waiting.popleft()
            if future.cancelled():
                continue
            if error:
                future.set_exception(OSError(*error))
            else:
                future.set_result(None)
        for future in waiting:
            if not future.done():
                future.set_exception(OSError(errno.EPIPE, "the process that stores files has ended"))

    async def add(path: str, body: bytes) -> None:
        if listener.done():
            raise OSError(errno.EPIPE, "the process that stores files has ended")
        stored = asyncio.get_running_loop().create_future()
        waiting.append(stored)
        head = {"path": path, "address": store.addresses[path], "size_bytes": len(body)}
        sender.write(json.dumps(head).encode() + b"\n")
        sender.write(body)
        await stored

    listener = asyncio.create_task(listen())
    try:
        yield add
    finally:
        sender.close()
        await listener
        await process.wait()


def main() -> None:
    """Store what comes in."""
    store = Store(Path(sys.argv[1]), addresses := {})
    while line := sys.stdin.buffer.readline():
        head = json.loads(line)
        body = sys.stdin.buffer.read(head["size_bytes"])
        if len(body) < head["size_bytes"]:
            return  # the other process was killed
        addresses[head["path"]] = head["address"]
        try:
            store.add(head["path"], body)
            answer = None
        except OSError as error:
            answer = [error.errno, error.strerror, error.filename]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
