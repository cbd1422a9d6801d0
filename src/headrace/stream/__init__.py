"""Messages answered by an endpoint: read from a broker, scored in small batches, written back, then acknowledged.

Called by `headrace stream` and by app/stream.py, which `headrace up` supervises. Decides when a message is done, which
id its answer has, and what becomes of one that cannot be answered.
Never acknowledge before the answer is written: a kill at any moment repeats messages, it loses none.
"""
