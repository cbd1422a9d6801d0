"""The words of the console, one file a page: WORDS = {key: (English, 简体中文)}.

Called by messages.py. A test finds a key that is missing, unused, or whose two texts take different values.
"""
