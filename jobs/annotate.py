"""Annotate documents; what `ray job submit -- python jobs/annotate.py INPUT... --output OUT` runs.

    read      CPU tasks turn shards into documents, and text into windows of token ids   annotation/prepare.py, readers/
    predict   replicas of the model, one per GPU, give label ids and scores              annotation/replica.py, model/
    write     CPU tasks turn label ids into entities with ids, in files of no table yet  annotation/write.py, concepts/
    commit    the driver adds the files to the tables, entities and documents together   annotation/commits.py, tables/

`annotation/pipeline.py` chains the first three on Ray Data. Takes the arguments of `craft-ray annotate`, and ends with
its exit codes.
"""

import sys

from craft_ray.cli.app import main

if __name__ == "__main__":
    sys.argv.insert(1, "annotate")
    main()
