"""The floor of an ASGI server: uvicorn on uvloop and httptools, a bare application, ONNX Runtime inline."""

from __future__ import annotations

import graph
import tensors
import uvicorn

HEAD = b"inference-header-content-length"


def main() -> None:
    given = graph.arguments()
    answer = tensors.answerer(given.model, given.file)

    async def application(scope, receive, send) -> None:
        headers = dict(scope["headers"])
        message = await receive()
        body = message["body"]
        while message["more_body"]:
            message = await receive()
            body += message["body"]
        reply, head = answer(body, int(headers.get(HEAD, 0))) if body else (b"{}", 0)
        answered = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
        if head:
            answered.append((HEAD, b"%d" % head))
        await send({"type": "http.response.start", "status": 200, "headers": answered})
        await send({"type": "http.response.body", "body": reply})

    uvicorn.run(
        application,
        host="127.0.0.1",
        port=given.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
