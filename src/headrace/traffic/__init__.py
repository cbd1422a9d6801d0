"""The road every call takes: admit, route, record.

Called by serving (and later the gateway), once each per request, in that order.
Decides who may come in, which variant answers, and what is written down.
Never put I/O on the way here, nor anything that knows how a model runs.
"""
