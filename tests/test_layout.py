"""Imports point one way, and what only one module may know, only one module imports."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "craft_ray"

ORDER = [
    "errors",
    "logs",
    "schema",
    "labels",
    "spans",
    "calibration",
    "checkpoint",
    "settings",
    "faults",
    "storage",
    "readers",
    "sentences",
    "windows",
    "batches",
    "network",
    "graph",
    "engines",
    "model",
    "decode",
    "identity",
    "ledger",
    "prepare",
    "telemetry",
    "replica",
    "staging",
    "tables",
    "lease",
    "runs",
    "commits",
    "pipeline",
    "connection",
    "annotation",
    "tagger",
    "corpora",
    "metrics",
    "evaluation",
    "quantization",
    "augmentation",
    "casing",
    "learning",
    "model_card",
    "training",
    "peak",
    "rivals",
    "goals",
    "bench_inputs",
    "footprint",
    "benchmark",
    "bench_plot",
    "snapshots",
    "database",
    "changes",
    "queries",
    "exporters",
    "export_plan",
    "export_rows",
    "export_shards",
    "export",
    "compaction",
    "progress",
    "terminal",
    "sampling",
    "figures",
    "pace",
    "charts",
    "samples",
    "report",
    "commands",
    "cli",
]
"""The modules in the order data flows; each imports only from those before it."""


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def files_of(module: str) -> list[Path]:
    file = PACKAGE / f"{module}.py"
    return [file] if file.exists() else sorted((PACKAGE / module).glob("*.py"))


def test_each_module_imports_only_from_those_before_it():
    wrong = []
    for place, module in enumerate(ORDER):
        for file in files_of(module):
            for name in imports(file):
                parts = name.split(".")
                if parts[0] == "craft_ray" and len(parts) > 1 and parts[1] in ORDER[place + 1 :]:
                    wrong.append(f"{file.name} imports {name}")
    assert wrong == []


def test_the_order_names_every_module():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert modules | {"readers", "exporters", "commands"} == set(ORDER)


def importers(package: str) -> set[str]:
    return {
        module
        for module in ORDER
        for file in files_of(module)
        if any(name.split(".")[0] == package for name in imports(file))
    }


def test_only_storage_knows_s3():
    assert importers("s3fs") == importers("botocore") == importers("fsspec") == {"storage"}


def test_only_tables_and_their_snapshots_know_delta():
    assert importers("deltalake") == {"tables", "snapshots"}


def test_only_the_graph_knows_openvino():
    assert importers("openvino") == {"graph"}


def test_the_model_knows_no_ray_and_the_replica_no_tokenizer():
    assert "model" not in importers("ray")
    assert "replica" not in importers("tokenizers")
    assert importers("ray") == {
        "replica",
        "telemetry",
        "pipeline",
        "connection",
        "annotation",
        "training",
        "rivals",
        "export",
    }
