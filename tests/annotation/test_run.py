"""The order of what a run does before it reads."""

import ast
import inspect

from craft_ray.annotation import run


def test_what_a_run_imports_once_ray_is_connected_has_been_imported_before():
    """A node that shares the driver's machine may have removed the package's files by then."""
    tree = ast.parse(inspect.getsource(run))
    late = {
        node.module
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
    assert late
    assert late <= set(run._ON_RAY)
