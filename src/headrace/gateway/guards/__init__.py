"""Guards: one file each, one registry row each; see base.py for the Protocol."""
