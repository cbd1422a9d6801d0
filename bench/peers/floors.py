"""What nobody can be cheaper than: the same tensors without auth, routing, checks or records, and a constant answer."""

from __future__ import annotations

import shutil

from bench.peers.base import Files, Peer, PeerFailed, Setup, Start, script
from bench.wire import Request, Sample, Wire, infer

REQUIRES = ("uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "msgspec==0.22.0", "onnxruntime==1.31.1")


def _asgi(setup: Setup) -> Start:
    return Start(command=script(setup, "floor_asgi.py"))


def _bare(setup: Setup) -> Start:
    return Start(command=script(setup, "floor_bare.py"))


def _nginx(setup: Setup) -> Start:
    binary = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        raise PeerFailed("nginx is not installed (apt install nginx-light)")
    answer = '{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[0]}]}'.ljust(170)
    config = f"""
worker_processes 1; daemon off; master_process off; pid {setup.folder}/pid; error_log {setup.folder}/log.txt;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {setup.folder}/body; client_max_body_size 8m;
  proxy_temp_path {setup.folder}/a; fastcgi_temp_path {setup.folder}/b; uwsgi_temp_path {setup.folder}/c;
  scgi_temp_path {setup.folder}/d;
  server {{ listen 127.0.0.1:{setup.port}; location / {{ default_type application/json; return 200 '{answer}'; }} }}
}}
"""
    (setup.folder / "nginx.conf").write_text(config)
    return Start(command=[binary, "-p", str(setup.folder), "-c", str(setup.folder / "nginx.conf")])


def _ask_all(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire)


def _constant(_: Files) -> str:
    return "nothing: a constant"


NGINX = "floor: nginx, constant"
PEERS = (
    Peer(
        name="floor: bare asyncio protocol",
        environment="floor",
        requires=REQUIRES,
        start=_bare,
        ready=lambda model: "/",
        ask=_ask_all,
    ),
    Peer(
        name="floor: bare ASGI on uvicorn",
        environment="floor",
        requires=REQUIRES,
        start=_asgi,
        ready=lambda model: "/",
        ask=_ask_all,
    ),
    Peer(name=NGINX, environment="", requires=(), start=_nginx, ready=lambda model: "/", runs=_constant),
)
