"""What may be learned from: rules that curate what people said, splits that do not leak, how far people agree.

Called by the flywheel (dataset versions, review) and the console; everything here is a pure function over rows.
Decides which label is right, which rows are left out and why, and who is in which split.
Never read the journal, the database or a file here, and never train anything.
"""
