"""What users say comes back: feedback collected, curated and exported as a dataset.

Called by the control plane's loops, /export and the command line.
Decides which answer is right when a person corrected it, and what belongs to a dataset version.
Never change traffic here; a retrained model goes through release like any other.
"""
