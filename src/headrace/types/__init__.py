"""The nouns: frozen dataclasses, enums and the error tree that every other room speaks in.

Called by every room. One noun has one definition: msgspec writes it to disk and wire, FastAPI documents it.
Decides what a thing carries and which states it can be in.
Never put I/O, a framework, a clock, or behaviour that needs more than the noun's own fields here.
"""
