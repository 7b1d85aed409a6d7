"""Fine-tune a model; what `ray job submit -- python jobs/train.py --train F --dev F --base M --output DIR` runs.

Takes the arguments of `craft-ray train`, and ends with its exit codes.
"""

import sys

from craft_ray.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
