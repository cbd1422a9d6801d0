"""The journal: every call, feedback and plane event, from one synchronous append to years of Parquet.

Called by the data plane (`writer`, `records`) and the control plane (`reader`, `archive`, `query`).
Decides what survives a crash, in which order, and that each record is read back exactly once.
Import its modules, not this package: a data plane must not pay for Arrow or DuckDB.
Never look inside a record to decide something about traffic, releases or models here.
"""
