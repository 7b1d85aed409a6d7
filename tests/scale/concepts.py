"""Time and memory of a lexicon of many names, and of ids for many mentions: `python -m tests.scale.concepts --help`.

Names are synthetic: words of one to four syllables, three names per term, six prefixes. Times are CPU time.
"""

import argparse
import json
import random
import resource
import time
from collections.abc import Iterator

import pyarrow as pa

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.grounding import DEFAULT_PREFIXES, Grounder
from craft_ray.concepts.loading import all_prefixes
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.concepts.terms import Term

SYLLABLES = [first + vowel + last for first in "bdfgklmnprst" for vowel in "aeiou" for last in ("", "n", "x")]


def words(chance: random.Random) -> str:
    return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(1, 4))) for _ in range(chance.randint(1, 4)))


def terms(names: int, chance: random.Random) -> Iterator[Term]:
    prefixes = all_prefixes(DEFAULT_PREFIXES)
    for number in range(names // 3):
        prefix = prefixes[number % len(prefixes)]
        parents = (f"{prefix}:{number // 12 * 6 + number % 6}",) if number > 12 else ()
        synonyms = tuple((f"{words(chance)} {number}", "EXACT") for _ in range(2))
        yield Term(f"{prefix}:{number}", f"{words(chance)} {number}", None, synonyms, parents)


def main() -> None:
    """Build a lexicon and ask it, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=5_500_000)
    parser.add_argument("--mentions", type=int, default=1_000_000)
    given = parser.parse_args()
    chance = random.Random(20261126)
    builder, making, adding = LexiconBuilder(all_prefixes(DEFAULT_PREFIXES)), 0.0, 0.0
    some: list[str] = []
    source = terms(given.names, chance)
    while True:
        began = time.process_time()
        batch = [term for term, _ in zip(source, range(10_000), strict=False)]
        making += time.process_time() - began
        if not batch:
            break
        some += [str(term.name) for term in batch[::20]]
        began = time.process_time()
        for term in batch:
            builder.add_term(term)
        adding += time.process_time() - began
    began = time.process_time()
    lexicon = builder.lexicon()
    adding += time.process_time() - began
    arrays = (lexicon.key, lexicon.folded, lexicon.exact, lexicon.tier, lexicon.concept)
    others = (lexicon.ontology, lexicon.prior, lexicon.specific, lexicon.parent_start, lexicon.parent)
    texts = sum(array.nbytes for array in (lexicon.ids, lexicon.names))
    grounder = Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), DEFAULT_PREFIXES)
    labels = list(DEFAULT_PREFIXES)
    mentions = pa.table(
        {
            "label": chance.choices(labels, k=given.mentions),
            "mention": chance.choices(some, k=given.mentions),
            "row": pa.array([n // 150 for n in range(given.mentions)], pa.int64()),
        }
    )
    began = time.process_time()
    found = grounder.add_concepts(mentions, [None] * (given.mentions // 150 + 1))
    print(
        json.dumps(
            {
                "names": len(lexicon.key),
                "compile_cpu_s": round(adding, 1),
                "made_in_cpu_s": round(making, 1),
                "bytes_per_name": sum(array.nbytes for array in arrays) / len(lexicon.key),
                "lexicon_mb": round((sum(array.nbytes for array in (*arrays, *others)) + texts) / 1e6),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "mentions": given.mentions,
                "ground_cpu_s": round(time.process_time() - began, 1),
                "with_id": round(1 - found["concept_id"].null_count / given.mentions, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
