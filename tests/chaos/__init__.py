"""Real jobs on a real cluster and a real object store, struck at random moments, run again, and compared.

`python -m tests.chaos --help` says how to run it apart from pytest.
"""
