"""Translation between forms of call: base.py has the nouns, crossed.py the way from bytes to bytes."""
