"""`craft-ray evaluate` as a Ray job: `ray job submit -- python jobs/evaluate.py tokens --gold F`. Same exit codes."""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
