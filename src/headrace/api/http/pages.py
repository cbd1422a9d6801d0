"""/docs, /redoc and /openapi.json, offline: the browser loads nothing from elsewhere.

Called by edge.py. The scripts are those of fastapi-offline, found without importing it (that would import FastAPI).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec

from headrace.api.http.edge import Parameters
from headrace.api.http.exchange import Exchange, Reply, json_reply
from headrace.types.errors import NotFound

ASSETS = {
    "swagger-ui-bundle.js": b"text/javascript",
    "swagger-ui.css": b"text/css",
    "redoc.standalone.js": b"text/javascript",
    "favicon.png": b"image/png",
}
_SWAGGER = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headrace: data plane</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"><link rel="icon" href="/docs/assets/favicon.png"></head>
<body><div id="page"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true})</script></body></html>
"""
_REDOC = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headrace: data plane</title>
<link rel="icon" href="/docs/assets/favicon.png"><style>body {margin: 0}</style></head>
<body><redoc spec-url="/openapi.json"></redoc><script src="/docs/assets/redoc.standalone.js"></script></body></html>
"""
_HTML = (b"content-type", b"text/html; charset=utf-8")


class Pages:
    def __init__(self, description: dict[str, object]) -> None:
        self._description = msgspec.json.encode(description)

    async def docs(self, exchange: Exchange, _: Parameters) -> Reply:
        return Reply(200, _SWAGGER, [_HTML])

    async def redoc(self, exchange: Exchange, _: Parameters) -> Reply:
        return Reply(200, _REDOC, [_HTML])

    async def openapi(self, exchange: Exchange, _: Parameters) -> Reply:
        return json_reply(self._description)

    async def asset(self, exchange: Exchange, parameters: Parameters) -> Reply:
        name = parameters["name"]
        if name not in ASSETS:
            raise NotFound(f"there is no asset {name!r}; there are: {', '.join(ASSETS)}")
        try:
            data = (_folder() / name).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"asset {name!r} is not installed", hint="pip install fastapi-offline") from None
        return Reply(200, data, [(b"content-type", ASSETS[name]), (b"cache-control", b"max-age=86400")])


def _folder() -> Path:
    spec = find_spec("fastapi_offline")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("the documentation's scripts are not installed", hint="pip install fastapi-offline")
    return Path(spec.submodule_search_locations[0]) / "static"
