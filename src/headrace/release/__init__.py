"""Every change of an endpoint's traffic: deploy, stage move, release; advanced by evidence.

Called by the admin API, the console and the control plane's clock. advance.py is the heart: evidence in, verdict out.
Decides when a candidate gets more traffic, all of it, or none; says why in words and numbers.
Never serve a request here; a change is written as a plan, and data planes follow it.
"""
