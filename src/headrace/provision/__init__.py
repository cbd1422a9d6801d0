"""The LLM gateway's configuration: providers, keys, people, limits, prices and secrets; and undoing it.

Called by the admin API, the console and the command line's importer. service.py is the spine: one change, one version.
Decides what may be said, what a change changes, and what a model costs.
Never answer a call here; a change is written as a plan, and data planes follow it.
"""
