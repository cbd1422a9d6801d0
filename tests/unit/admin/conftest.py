"""The fixtures of admin_stand.py, for every test of this folder."""

from __future__ import annotations

from admin_stand import client, stand

__all__ = ["client", "stand"]
