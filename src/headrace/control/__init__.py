"""The control plane's services in one container, and the loops that drive them.

Called by app, which builds it; read by the admin API and the console.
Decides nothing but when each loop turns and what a failing loop does.
Never construct a service here: that is app's.
"""
