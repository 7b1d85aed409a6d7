"""An output: its Delta tables, the records of its runs and its lease. Only here is Delta known."""
