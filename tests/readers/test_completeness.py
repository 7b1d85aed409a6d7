"""Real articles lose no words, and none grow together, by a walk of the XML of its own."""

from collections import Counter

import pytest

from tests.readers.completeness import compare

MOST_LOST = 0.0005
"""Share of an article's words; what the walk and the reader may see differently."""


@pytest.mark.parametrize("folder", ["jats", "craft/jats"])
def test_real_articles_come_in_whole(data, folder: str):
    compared = {path.name: compare(path) for path in sorted((data / folder).glob("*.nxml"))}
    assert compared
    assert {name: found.rejected for name, found in compared.items() if found.rejected} == {}
    assert {name: found.lost for name, found in compared.items() if found.lost.total() > MOST_LOST * found.total} == {}
    assert {name: found.new for name, found in compared.items() if found.new} == {}


def test_the_walk_sees_words_that_are_lost_and_glued(tmp_path):
    """The words that the reader leaves out on purpose in an element that the walk does not know."""
    article = tmp_path / "x.nxml"
    article.write_text("<article><body><p>Mice <label>run</label> far</p><p>and wide</p></body></article>")
    assert compare(article).counts() == (4, 0, 0)
    article.write_text("<article><body><p>Mice<tex>run</tex></p><p>Click here for file</p></body></article>")
    found = compare(article)
    assert (found.lost, found.new) == (Counter(["Mice", "run"]), Counter(["Micerun"]))
