"""Files scored by an endpoint: rows → calls like any application's → parts on disk → the output, by one rename.

Called by `headrace predict --input` and, for jobs of the API, by app/batch.py in a process of its own; control asks
jobs.py. Decides which columns a model gets, when a part goes to the disk, and what a file that half failed means.
Never call a model past the data plane: its routing, limits and journal hold for a file as for an application.
"""
