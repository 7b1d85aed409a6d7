"""Measure craft_ray and its rivals on this machine; what `ray job submit -- python jobs/benchmark.py INPUT` runs.

Takes the arguments of `craft-ray bench`, and ends with its exit codes.
"""

import sys

from craft_ray.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
