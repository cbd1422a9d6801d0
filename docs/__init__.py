"""Generators of the reference pages; `make docs` runs them, a test compares their output with what is committed."""
