"""Annotate documents; what `ray job submit -- python jobs/annotate.py INPUT... --output OUT` runs.

Takes the arguments of `craft-ray annotate`, and ends with its exit codes.
"""

import sys

from craft_ray.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "annotate")
    main()
