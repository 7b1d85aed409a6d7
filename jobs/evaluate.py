"""Score a model; what `ray job submit -- python jobs/evaluate.py tokens --gold F` runs.

Takes the arguments of `craft-ray evaluate`, and ends with its exit codes.
"""

import sys

from craft_ray.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
