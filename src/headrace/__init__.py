"""Headrace: from a training record to production traffic, safely, and back into training."""

__version__ = "0.1.0"
