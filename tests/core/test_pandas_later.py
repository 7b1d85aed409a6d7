"""pandas is imported when a process goes on that may need it, and pyarrow knows its frames then."""

import subprocess
import sys

PROGRAM = """
import sys
from craft_ray.core.pandas_later import let_pandas_in, put_off_pandas
put_off_pandas()
import pyarrow as pa
assert pa.array(["a"]).to_pylist() == ["a"]
assert "pandas" not in sys.modules
let_pandas_in()
import pandas
frame = pandas.DataFrame({"x": [1.5, None]})
assert pa.array(frame["x"]).null_count == 1, "of a list it would be a NaN"
assert pa.Table.from_pandas(frame).to_pandas().equals(frame)
"""


def test_pandas_is_put_off():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
