"""The data plane's edge: our own HTTP/1.1 on httptools, one JSON parse, no framework."""
