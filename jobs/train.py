"""`craft-ray train` as a Ray job: `ray job submit -- python jobs/train.py --train F --dev F --base M --output DIR`."""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
