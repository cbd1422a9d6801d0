"""The command line: headrace up, deploy, release, demo and the rest.

Called by people and scripts. Talks to a running platform through the client; starts one through compute.
Decides how a result is printed (tables, progress, --json).
Never put a rule here that the admin API would not have.
"""
