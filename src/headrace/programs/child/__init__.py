"""The processes in which DSPy and a program's own code run: no keys, no network, one socket to who started them."""
