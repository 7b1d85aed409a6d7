"""`craft-ray train` as a Ray job, with the same arguments and exit codes:

ray job submit --working-dir . -- python jobs/train.py --train FILE --dev FILE --base MODEL --epochs 1 --output OUT
"""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
