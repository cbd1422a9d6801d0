"""The plans that releases have when nobody says otherwise, one file for each strategy.

Called by plans.py. Pure. A new strategy is one file, one member of Strategy and one line in registry.py; its steps are
of the kinds in release/steps/.
Never decides when a step is over.
"""
