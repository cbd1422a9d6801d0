"""Compressed request bodies of V2: content-encoding gzip or deflate.

Called by infer.py. Decides that a body may not grow past the limit that holds for plain ones. Answers are never
compressed: tensors shrink little, and it would cost more than the prediction.
"""

from __future__ import annotations

import asyncio
import zlib

from headrace.api.errors import WrongMedia
from headrace.types.errors import BadInput, TooLarge

_EITHER = 47  # wbits: gzip or zlib, by what it starts with


async def inflated(data: bytes, encoding: str, limit: int) -> bytes:
    """Raises WrongMedia for another encoding, TooLarge, or BadInput for a body that is not what it says."""
    name = encoding.strip().lower()
    if name == "identity":
        return data
    if name not in ("gzip", "deflate"):
        raise WrongMedia(f"content-encoding {encoding[:32]!r} is not taken here", hint="allowed: gzip, deflate")
    return await asyncio.to_thread(inflate, data, limit)


def inflate(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_EITHER)
    try:
        found = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadInput(f"the compressed body cannot be read: {error}", field="body") from None
    if len(found) > limit:
        raise TooLarge(f"the body is larger than {limit >> 20} MiB once it is inflated", hint="setting max_body_mb")
    if not stream.eof or stream.unused_data:
        raise BadInput("the compressed body is cut, or goes on after its end", field="body")
    return found
