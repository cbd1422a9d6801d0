"""All peers, in the order of the tables. Registering one is its line here."""

from __future__ import annotations

from bench.peers import bentoml, floors, kserve, litserve, mlflow_serve, mlserver, ray_serve, triton
from bench.peers.base import Peer

PEERS: tuple[Peer, ...] = (
    *mlserver.PEERS,
    kserve.PEER,
    triton.PEER,
    mlflow_serve.PEER,
    *litserve.PEERS,
    bentoml.PEER,
    ray_serve.PEER,
    *floors.PEERS,
)


def chosen(words: tuple[str, ...], model: str = "") -> tuple[Peer, ...]:
    """Those meant for the model whose name has one of `words` in it; all without words. Raises ValueError for a word
    that fits none."""
    for word in words:
        if not any(word in peer.name for peer in PEERS):
            raise ValueError(f"there is no peer {word!r}; there are: {', '.join(peer.name for peer in PEERS)}")
    return tuple(
        peer
        for peer in PEERS
        if (not words or any(word in peer.name for word in words))
        and (not model or not peer.only or model in peer.only)
    )
