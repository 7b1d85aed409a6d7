"""`craft-ray evaluate` as a Ray job, with the same arguments and exit codes:

ray job submit --working-dir . -- python jobs/evaluate.py tokens --gold FILE
"""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
