"""Gates: what a candidate must show before it gets its first share of traffic. One file each.

Called by start.py through run.py, when the candidate is loaded in every data plane and has no traffic yet.
base.py says what a gate is. Each decides one thing, from answers that trial.py got through the data plane itself.
Never touch traffic here, and never count as anybody's: the questions are marked, journals and figures know.
"""
