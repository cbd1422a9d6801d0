"""The LLM path: one call to a chat model, from bytes to bytes, over whichever upstream answers.

Called by the edges of the data plane. complete.py is the spine: admit, reserve, route, cache, call with fallback,
settle, record. Decides which upstream is asked, what is asked again, and what a call used and cost.
Never re-model what passes through; never import an SDK of a provider, MLflow, or anything that decides releases.
"""
