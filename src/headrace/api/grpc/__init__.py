"""The data plane's gRPC edge: the service of the Open Inference Protocol, with Triton's messages."""
