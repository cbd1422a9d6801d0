"""The edges: HTTP in, HTTP out. http is the data plane's, admin the control plane's.

Called by clients of every kind. Translates a protocol into a call of a room below, and an error into a status.
Decides nothing: limits of size and form, then delegate.
Never put a rule about models, traffic or releases here.
"""
