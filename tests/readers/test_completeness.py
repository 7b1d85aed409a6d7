"""Real articles against an independent walk of their XML: no words are lost, and none are glued together."""

from collections import Counter

import pytest

from tests.readers.completeness import compare

MAX_LOST = 0.0005  # of an article's words


@pytest.mark.parametrize("with_tables", [False, True])
@pytest.mark.parametrize("folder", ["jats", "craft/jats"])
def test_real_articles_are_read_completely(data, folder: str, with_tables: bool):
    compared = {path.name: compare(path, with_tables) for path in sorted((data / folder).glob("*.nxml"))}
    assert compared
    assert {name: found.rejected for name, found in compared.items() if found.rejected} == {}
    assert {name: found.lost for name, found in compared.items() if found.lost.total() > MAX_LOST * found.total} == {}
    assert {name: found.new for name, found in compared.items() if found.new} == {}


def test_the_walk_detects_lost_and_glued_words(tmp_path):
    article = tmp_path / "x.nxml"
    article.write_text("<article><body><p>Mice <label>run</label> far</p><p>and wide</p></body></article>")
    found = compare(article)
    assert (found.total, found.lost.total(), found.new.total()) == (4, 0, 0)
    article.write_text("<article><body><p>Mice<tex>run</tex></p><p>Click here for file</p></body></article>")
    found = compare(article)
    assert (found.lost, found.new) == (Counter(["Mice", "run"]), Counter(["Micerun"]))
