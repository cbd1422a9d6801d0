"""A package, so that one named `tests` that another wheel installs does not take its place."""
