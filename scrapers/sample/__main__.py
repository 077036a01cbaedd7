"""Open the sample museum: ``python -m scrapers.sample``.

Prints its address, or why it has none, and serves until its standard input closes.
"""

import argparse
import sys
import threading

from scrapers.sample import photographs
from scrapers.sample.server import MuseumServer
from scrapers.sample.works import collect
from scrapers.wheels import WheelError


def main() -> None:
    """Serve the museum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", type=int, metavar="N", help="show at most N of each class (default: all)")
    arguments = parser.parse_args()
    try:
        photographs.download()
    except WheelError as error:
        print(error)
        sys.exit(1)
    with MuseumServer(*collect(photographs.load(), arguments.works)) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        print(server.address, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
