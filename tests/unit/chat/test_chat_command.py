"""The trusted key: made where keys are asked for, once, and made anew when its secret is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.base.settings import Settings
from headrace.chat.place import load, place_of
from headrace.cli import chat


class PlayedControl:
    def __init__(self, *names: str) -> None:
        self.there = [{"name": name, "revoked": 0.0} for name in names]
        self.secrets: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []

    def keys(self) -> list[dict[str, Any]]:
        return self.there

    def set_secret(self, name: str, value: str) -> None:
        self.secrets[name] = value

    def revoke_key(self, name: str) -> None:
        self.there = [key | {"revoked": 1.0} if key["name"] == name else key for key in self.there]

    def create_key(self, **described: Any) -> dict[str, Any]:
        self.made.append(described)
        self.there.append({"name": described["name"], "revoked": 0.0})
        return {"secret": f"hr-key-{len(self.made)}"}


def introduce(settings: Settings, control: PlayedControl, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def played(*_: object) -> Iterator[PlayedControl]:
        yield control

    monkeypatch.setattr(chat, "admin", played)
    chat._introduce(settings, place_of(settings), quiet=True)


def test_makes_no_first_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = PlayedControl()
    introduce(Settings(home=tmp_path), control, monkeypatch)
    assert control.made == [], "it would lock all others out"


def test_makes_one_trusted_key_with_the_secret_that_signs_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, settings = PlayedControl("somebody"), Settings(home=tmp_path)
    introduce(settings, control, monkeypatch)
    introduce(settings, control, monkeypatch)
    [made] = control.made
    assert made["trusted"]
    assert made["user_secret"] == "open-webui"
    assert set(made["scopes"]) == {"chat", "embeddings", "media"}
    kept = load(place_of(settings))
    assert kept is not None
    assert kept.key.reveal() == "hr-key-1"
    assert control.secrets == {"open-webui": kept.users.reveal()}


def test_a_key_whose_secret_was_lost_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control, settings = PlayedControl("somebody", "open-webui"), Settings(home=tmp_path)
    introduce(settings, control, monkeypatch)
    assert [key["name"] for key in control.there if not key["revoked"]] == ["somebody", "open-webui"]
    kept = load(place_of(settings))
    assert kept is not None
    assert kept.key.reveal() == "hr-key-1"


def test_access_keys_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = PlayedControl()
    introduce(Settings(home=tmp_path, api_keys="one"), control, monkeypatch)
    assert len(control.made) == 1
