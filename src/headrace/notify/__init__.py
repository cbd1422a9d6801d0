"""Telling other systems what happened here: webhooks, from the history, signed, sent until they arrive.

Called by the control plane's clock (deliver), the admin API, the console and the command line (hooks).
Decides who is told of what, how a message looks, when it is sent again, and when it is given up.
Never change what it tells of: it reads the history, and writes only its own log.
"""
