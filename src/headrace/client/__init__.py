"""The SDK: what a program or the command line uses to talk to a running Headrace.

Called by the command line, the demo and users' own code. Stands on types and base alone.
Turns an error answer into the error class of types/errors.py that made it.
Never put a decision here: it sends, receives and names what came back.
"""
