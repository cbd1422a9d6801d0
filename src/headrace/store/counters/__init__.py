"""How much was used in this minute, day and month: one number a name and window.

Called by traffic/limit.py in a data plane: taken from before a call, settled after.
Three stores of one contract: a process alone, workers of one port, Redis.
Decides that what is checked is taken in the same step, so that exactly as many pass as may.
Never put here whose calls a limit counts, nor what it is about: a counter has a name and whole numbers.
"""
