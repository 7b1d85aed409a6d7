"""`craft-ray annotate` as a Ray job:

    ray job submit --working-dir . -- python jobs/annotate.py INPUT... --output OUT

    read      CPU tasks turn shards into documents, and text into windows of token ids   annotation/prepare.py, readers/
    predict   replicas of the model, one per GPU, predict label ids and scores           annotation/replica.py, model/
    write     CPU tasks make entities with concept ids, in files that no table has yet   annotation/write.py, concepts/
    commit    the driver adds the files to the tables, entities and documents together   annotation/commits.py, tables/

`annotation/pipeline.py` chains the first three on Ray Data. Arguments and exit codes are those of the command.
"""

import sys

from craft_ray.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "annotate")
    main()
