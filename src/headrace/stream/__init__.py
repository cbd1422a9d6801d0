"""Messages answered by an endpoint: read from a broker, scored in small batches, written back, then acknowledged.

Called by `headrace stream`. serve.py is the spine; brokers/ has one file each. Decides when a message is done, which id
its answer has, when nothing more is read, and what becomes of a message that cannot be answered.
Never acknowledge before the answer is written: a kill at any moment repeats messages, it loses none.
"""
