"""The roof: one composition root per process. data.py builds a data plane, control.py a control plane.

Called by the supervisor as programs. Decides which part is plugged into which.
It stands above the edges because it must know them too; nothing imports it.
Never put anything here but construction, start and stop.
"""
