"""What is happening: live figures from the journal, and the journal's way into MLflow.

Called by the control plane's loops, the console and the admin API.
Decides what is sampled for MLflow and when it is sent again.
Never change traffic here.
"""
