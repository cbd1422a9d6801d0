"""One file a store. base.py holds the Protocols and the registry; sql.py is what SQLite and PostgreSQL share."""
