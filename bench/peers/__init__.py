"""Servers that we are measured beside: one file each says how to install it, start it with a model file, and ask it.

Never here: a measurement (bench/serving.py), or an import of a peer's package: each lives in an environment of its own,
made on demand, and what runs there is in apps/.
"""
