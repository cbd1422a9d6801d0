"""What users say comes back: feedback collected, made into dataset versions, and turned into the next model version.

Called by the control plane's loops, /export, the command line, and the process of a turn (turn.py is its spine).
Decides when a turn begins, what a training gets, and whether its candidate may go on.
Never change traffic here; a retrained model goes through release like any other.
"""
