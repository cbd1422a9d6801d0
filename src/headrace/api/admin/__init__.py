"""The control plane's edge: FastAPI routers and the way into MLflow."""
