"""Opens the stand-ins, prints their address, and closes them when the standard input ends.

python -m tests.museums --works 20000 [--faults] [--tiny]
"""

import argparse
import json
import sys

from tests.museums.collection import Sizes
from tests.museums.faults import MIXTURE, Fault
from tests.museums.server import open_museums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", type=int, default=20_000, help="free works, half of them paintings")
    parser.add_argument("--sizes", metavar="JSON", help="records of each source, instead")
    parser.add_argument("--faults", nargs="?", const="", metavar="JSON", help="trouble: a mixture, or these")
    parser.add_argument("--tiny", action="store_true", help="images of 2 kB")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sizes = Sizes(**json.loads(arguments.sizes)) if arguments.sizes else Sizes.offering(arguments.works)
    faults = [Fault(**fault) for fault in json.loads(arguments.faults or "[]")]
    if arguments.faults == "":
        faults.extend(MIXTURE)
    with open_museums(sizes, faults, tiny=arguments.tiny, seed=arguments.seed) as museums:
        print(museums.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
