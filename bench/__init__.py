"""Measurements: ratios within one run, CPU per request first, because wall time is noise on shared machines."""
