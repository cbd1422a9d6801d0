"""The rules of curation, one file each; registry.py says in which order."""
