"""Feature or key-value data moved from one store to another while applications read and write it.

Called by applications (client.py) and by `headrace migrate` (migrate.py, the spine); stores/ has one file each. Decides
which store is the truth, how every write reaches the other one, and when reads may be switched, there and back.
Never let a write end in a store that is not the truth, and never lose one that was answered: a kill repeats, no more.
"""
