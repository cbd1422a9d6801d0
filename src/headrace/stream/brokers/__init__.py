"""One file a broker. base.py holds the Protocols and the registry."""
