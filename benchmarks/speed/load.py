"""Whether a catalog of ten million utterances and 200,000 speakers can be worked on: time, memory, growth of each step.

python -m benchmarks.speed.load make FOLDER --utterances 1_000_000 [--speakers 20_000] [--size 64]
"""

import argparse
import time
from pathlib import Path

from benchmarks.speed.load_made import make, planned

UTTERANCES_A_SPEAKER = 50


def number(text: str) -> int:
    """`10_000_000` as well as `10000000`."""
    return int(text.replace(",", "_"))


def main() -> None:
    """Make a catalog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make up a catalog")
    making.add_argument("folder", type=Path)
    making.add_argument("--utterances", type=number, default=1_000_000)
    making.add_argument("--speakers", type=number)
    making.add_argument("--size", type=int, default=64, help="of a vector")
    making.add_argument("--landmarks", type=float, default=3.0, help="a second of audio; of real speech 30")
    making.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    started = time.process_time()
    speakers = asked.speakers or max(20, asked.utterances // UTTERANCES_A_SPEAKER)
    plan = planned(
        asked.utterances, speakers, dimension=asked.size, landmarks_a_second=asked.landmarks, seed=asked.seed
    )
    file = make(asked.folder, plan)
    print(f"{file}: {asked.utterances:,} utterances, {speakers:,} speakers; {time.process_time() - started:.0f} s")


if __name__ == "__main__":
    main()
