"""Chromium walks through the console; stage.py gives it something real to show."""
