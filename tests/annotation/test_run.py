"""What a run imports, and when."""

import ast
import inspect

from craft_ray.annotation import annotating, context, run


def late_imports(module: object) -> set[str]:
    """Modules that functions of a module import when they are called."""
    functions = (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.FunctionDef))
    return {
        node.module
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }


def test_nothing_is_imported_after_connecting_to_ray():
    """A node that shares the driver's machine may have removed the package's files by then."""
    assert late_imports(run) == {"craft_ray.annotation.annotating"}
    assert late_imports(annotating) == set()
    connect = inspect.getsource(context.RunContext.connect)
    assert connect.index("craft_ray.annotation.annotating") < connect.index("ray_session")
