"""The kinds of step: what each waits for, and when it is over.

Called by advance.py, after harm and pause were looked at. One file each, pure: a release and an interval in, a finding
out. A new kind is one file, one member of StepKind and one line in registry.py.
Never moves traffic: that follows from the plan's next step.
"""
