"""`craft-ray bench` as a Ray job: `ray job submit -- python jobs/benchmark.py INPUT`. Same arguments and exit codes."""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
