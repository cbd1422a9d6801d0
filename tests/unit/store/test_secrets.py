"""Sealing, opening, turning the master key, and refusing one that can be guessed or read."""

from __future__ import annotations

import binascii
import os
from base64 import b64encode, urlsafe_b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.masters import Masters, WeakKey, master_of
from headrace.base.secret import Secret
from headrace.store.envelope import Envelope
from headrace.store.secrets import Vault
from headrace.types.errors import BadInput, NotFound, Unavailable

KEY = os.urandom(32)
GIVEN = Secret(b64encode(KEY).decode())
OTHER = Secret(os.urandom(32).hex())
CANARY = Secret("sk-canary-7f3a")


def vault(tmp_path: Path, master: Secret = GIVEN) -> Vault:
    return Vault(tmp_path / "keys", master)


def test_what_is_sealed_opens_under_its_name_alone(tmp_path: Path) -> None:
    here = vault(tmp_path)
    sealed = here.seal("openai", CANARY)
    assert CANARY.reveal() not in sealed
    assert sealed != here.seal("openai", CANARY)  # nobody sees that two are the same
    assert vault(tmp_path).reveal("openai", {"openai": sealed}).reveal() == CANARY.reveal()
    with pytest.raises(Unavailable, match="another name"):
        here.open("anthropic", sealed)


ENVELOPE = Envelope(Masters(Path(), GIVEN))
SEALED = ENVELOPE.seal("openai", CANARY)


@given(st.integers(0, len(SEALED) - 1), st.sampled_from("Aa0_-."))
def test_one_changed_character_opens_nothing(at: int, sign: str) -> None:
    changed = SEALED[:at] + sign + SEALED[at + 1 :]
    if _same(changed):
        assert ENVELOPE.open("openai", changed).reveal() == CANARY.reveal()
        return
    with pytest.raises(Unavailable) as caught:
        ENVELOPE.open("openai", changed)
    assert CANARY.reveal() not in caught.value.sentence()
    assert SEALED not in caught.value.sentence()


def _same(changed: str) -> bool:
    """The last bits of a part in base64 may be written in several ways."""
    return [_read(part) for part in changed.split(".")] == [_read(part) for part in SEALED.split(".")]


def _read(part: str) -> bytes:
    if len(part) <= 12:  # the form, and the id of the master key
        return part.encode()
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return part.encode()


@given(st.text(min_size=1))
def test_any_text_comes_back(text: str) -> None:
    assert ENVELOPE.open("n", ENVELOPE.seal("n", Secret(text))).reveal() == text


def test_another_master_key_says_which_is_missing(tmp_path: Path) -> None:
    sealed = vault(tmp_path).seal("openai", CANARY)
    with pytest.raises(Unavailable, match=r"sealed under master key '[0-9a-f]{12}', which is not here"):
        vault(tmp_path, OTHER).open("openai", sealed)


def test_a_master_key_in_a_file_is_made_once_and_turned(tmp_path: Path) -> None:
    control, data = vault(tmp_path, Secret("")), vault(tmp_path, Secret(""))
    before = {"a": control.seal("a", CANARY), "b": control.seal("b", Secret("two"))}
    assert data.open("a", before["a"]).reveal() == CANARY.reveal()
    master, after = control.turn(before)
    assert all(text.split(".")[1] == master.id for text in after.values())
    # a data plane that knew the old one opens both: what was sealed before it, too
    assert data.open("a", after["a"]).reveal() == data.open("a", before["a"]).reveal() == CANARY.reveal()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_master_key_from_the_environment_is_turned_there(tmp_path: Path) -> None:
    old = {"a": vault(tmp_path).seal("a", CANARY)}
    both = Secret(f"{OTHER.reveal()},{GIVEN.reveal()}")
    _, new = vault(tmp_path, both).turn(old)
    assert vault(tmp_path, OTHER).open("a", new["a"]).reveal() == CANARY.reveal()
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "text",
    [
        "changeme",
        "sk-1234",
        "",
        b64encode(b"\0" * 32).decode(),
        b64encode(b"correct horse battery staple 123").decode(),
        "0123456789abcdef" * 4,
        "3229f1c3eb7efcfa486cfc232b2e662c",  # half as long as a key
    ],
)
def test_a_key_that_can_be_guessed_is_refused(text: str) -> None:
    with pytest.raises(WeakKey) as caught:
        master_of(text, "HEADRACE_MASTER_KEY")
    assert not text or text not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    vault(tmp_path, Secret("")).seal("a", CANARY)
    (tmp_path / "keys" / "master.key").chmod(0o644)
    with pytest.raises(Unavailable, match="read by others"):
        vault(tmp_path, Secret("")).seal("a", CANARY)


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "from the environment")
    assert vault(tmp_path).reveal("env:MY_API_KEY", {}).reveal() == "from the environment"
    with pytest.raises(Unavailable, match="'UPSTREAM_NOT_SET' is not set"):
        vault(tmp_path).reveal("env:UPSTREAM_NOT_SET", {})
    with pytest.raises(NotFound, match="no secret 'x'; there are: a"):
        vault(tmp_path).reveal("x", {"a": "…"})
    with pytest.raises(BadInput, match="empty"):
        vault(tmp_path).seal("a", Secret(" "))
