"""What runs elsewhere: supervised children, model hosts, conversion jobs, locks and ports.

Called by the command line (supervisor), serving (model hosts), optimize (conversion jobs), batch and flywheel (keeper).
Decides when a process is restarted, how it is confined and how it is stopped.
Never put a domain word here: it starts programs and talks to them, it does not know what they are for.
"""
