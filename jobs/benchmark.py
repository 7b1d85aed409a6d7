"""`craft-ray bench` as a Ray job, with the same arguments and exit codes:

ray job submit --working-dir . -- python jobs/benchmark.py INPUT... --quick --output OUT
"""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "bench")
    main()
