"""The long form apart from pytest."""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import campaign, running_harness, say_at_once


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Run jobs on a Ray cluster of three nodes and an S3 server on this machine, strike drivers, "
        "replicas, workers, nodes and the store at random moments, run each job again until it ends, and compare its "
        "tables with those of an undisturbed run.",
        epilog="Examples:  python -m tests.chaos --blows 100 --report report.json   |   "
        "python -m tests.chaos --blows 10 --seed 7.  Exit code 0: nothing lost, nothing twice, nothing let in; else 1. "
        "A seed fixes which blows come and after what time; what they hit depends on the machine as well. "
        "100 blows take about half an hour on two cores. Drivers are suspended as well, and some overtaken by a "
        "run under another host's name, for which `unshare --uts` needs to be allowed.",
    )
    parser.add_argument("--blows", type=int, default=100, help="how many; 100 if not given")
    parser.add_argument("--seed", type=int, help="of all randomness; a new one, which is printed, if not given")
    parser.add_argument("--documents", type=int, default=1200, help="size of the input; 1200 if not given")
    parser.add_argument("--rate", type=int, default=6_000, help="tokens per second of each of two stand-in replicas")
    parser.add_argument("--report", type=Path, help="JSON file for the figures")
    parser.add_argument("--keep", type=Path, help="new folder for streams of all runs and the store's files, kept")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else secrets.randbelow(1_000_000)
    say_at_once(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = given.keep or Path(temporary, "work")
        with running_harness(folder, seed, given.documents, given.rate) as harness:
            try:
                campaign(harness, given.blows)
            finally:
                report = harness.close()
                if given.report:
                    report.write(given.report)
    for name, value in report.as_json().items():
        say_at_once(f"{name}: {value}")
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
