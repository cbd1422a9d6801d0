"""Where calls are made from: one file each. base.py holds the Protocol and the registry."""
