"""Settings, clock, ids and logs: what every process needs before it knows any domain word.

Called by every room above. Decides where a value comes from (file, environment, default) and how a log line looks.
Never put a domain word here: no endpoint, no model, no release.
"""
