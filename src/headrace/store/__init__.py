"""What remembers: database, plans, journal, artifacts, the MLflow registry and its traces.

Called by the data plane (plans, journal, artifacts) and the control plane (all of it).
Decides how a thing is kept and found again, and that what was acknowledged is there after a crash.
Import its modules, not this package: a data plane must not pay for DuckDB, Arrow or MLflow.
Never put a decision about traffic, releases or models here.
"""
