"""The web pages: what is happening, is it good, what can I do.

Called by people. Pages compose parts and call the same services as the admin API.
Decides how a state is said and shown; every string comes from the message catalogue.
Never put SQL, HTTP to ourselves, or a rule here.
"""
