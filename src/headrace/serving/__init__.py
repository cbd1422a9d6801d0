"""The predict path and its runtimes, on a plan that is swapped whole.

Called by the edges of the data plane. predict.py is the spine: admit, route, decode, run, encode, record.
Decides how inputs become tensors, when a new version may take over and when an old one may go.
Never import MLflow, unpickle, or wait for the control plane here.
"""
