"""The chat application beside the platform: Open WebUI in an environment of its own, unmodified, wired to the gateway.

Called by `headrace chat` (install, start) and by the control plane's chat loop. collect.py is the spine: what people
rate there becomes feedback on the right trace. Decides how it is wired, and what of its ratings is news.
Never import Open WebUI, change it or re-brand it: its licence and its pins are its own.
"""
