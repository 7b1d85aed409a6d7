import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.concepts.forms import keys
from craft_ray.concepts.lexicon import CORPUS
from craft_ray.concepts.lexicon_files import read_lexicon
from tests.support.ontologies import OBO, obo_file
from tests.support.outputs import STORAGE


def test_build_compiles_a_lexicon(tmp_path: Path):
    unused = tmp_path / "unused.txt"
    unused.write_text("CL:0000540\n")
    output = str(tmp_path / "lexicon")
    command = ["concepts", "build", obo_file(tmp_path), "--output", output, "--leave-out", str(unused), "--json"]
    report = json.loads(CliRunner().invoke(app, command).output.splitlines()[-1])
    lexicon = read_lexicon(STORAGE, output)
    assert report == {
        "lexicon": output,
        "bytes": Path(output).stat().st_size,
        "names": len(lexicon.key),
        "concepts": len(lexicon.ids),
        "fingerprint": lexicon.fingerprint,
    }
    neuron, ganglion = lexicon.indices(["CL:0000540", "CL:0000740"])
    assert neuron not in lexicon.concept
    assert ganglion in lexicon.concept
    assert neuron in lexicon.parent


def test_build_keeps_other_prefixes(tmp_path: Path):
    file, output = obo_file(tmp_path, OBO.replace("CL:", "HP:")), str(tmp_path / "lexicon")
    done = CliRunner().invoke(app, ["concepts", "build", file, "-o", output, "--prefix", "HP"])
    assert done.exit_code == 0
    lexicon = read_lexicon(STORAGE, output)
    assert "HP" in lexicon.named_prefixes
    assert lexicon.indices(["HP:0000540"]).min() >= 0


def test_build_adds_strings_of_a_corpus(tmp_path: Path):
    gold, output = tmp_path / "own.pubtator", str(tmp_path / "lexicon")
    gold.write_text(
        "1|t|An axon bearer of mice\n1\t3\t14\taxon bearer\tCellType\tD009474\n1\t18\t22\tmice\tTaxon\t9606\n"
    )
    command = ["concepts", "build", obo_file(tmp_path), "-o", output, "--gold", str(gold), "--map", "CellType=Cell"]
    assert CliRunner().invoke(app, [*command, "--label", "Cell"]).exit_code == 0
    lexicon = read_lexicon(STORAGE, output)
    (name,) = np.flatnonzero(lexicon.tier == CORPUS)
    assert lexicon.ids[lexicon.concept[name]].as_py() == "CL:0000540", "to which MeSH's id refers"
    assert lexicon.key[name] == keys(["axon bearer"]).key[0]
    assert lexicon.sources[-1]["file"] == "own.pubtator"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ids", "give --craft as well"),
        ("--gold", "--gold and --label go together"),
        ("--leave-out", "cannot read the list of classes"),
    ],
)
def test_build_refuses_bad_options(tmp_path: Path, option: str, message: str):
    command = ["concepts", "build", obo_file(tmp_path), "-o", str(tmp_path / "lexicon"), option, "missing.txt"]
    error = CliRunner().invoke(app, command).exception
    assert message in str(error)


def test_evaluate_scores_other_corpora(tmp_path: Path):
    (tmp_path / "txt").mkdir()
    (tmp_path / "txt" / "1.txt").write_text("neuron")
    layer = tmp_path / "standoff" / "CL"
    layer.mkdir(parents=True)
    (layer / "1.xml").write_text(
        '<annotations><annotation><mention id="m"/><span start="0" end="6"/></annotation>'
        '<classMention id="m"><mentionClass id="CL:0000540"/></classMention></annotations>'
    )
    gold = tmp_path / "other.pubtator"
    gold.write_text("1|t|A nerve cell\n1\t2\t12\tnerve cell\tCellType\tD009474\n")
    counts = tmp_path / "counts.json"
    command = ["evaluate", "concepts", obo_file(tmp_path)]
    command += ["--craft", str(tmp_path), "--gold", str(gold), "--map", "CellType=Cell", "--map", "Other=Taxon"]
    done = CliRunner().invoke(app, [*command, "--write-counts", str(counts), "--json"])
    row = json.loads(done.output.splitlines()[-1])["corpora"][f"{tmp_path.name}/other.pubtator"]["Cell"]
    assert (row["mentions"], row["accuracy"], row["without_equivalent"]) == (1, 1.0, 0)
    assert json.loads(counts.read_text())["others"] == {f"{tmp_path.name}/other.pubtator": {"CL": {"synonym": [1, 1]}}}
