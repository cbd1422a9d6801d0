"""The data plane's edge: raw ASGI, one JSON parse, no framework."""
