"""MLflow warns about its own type hints while it is imported; once imported, every warning is an error again."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401
