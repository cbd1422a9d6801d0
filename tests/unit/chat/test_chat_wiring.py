"""Secrets are made once and stay hidden; what the application is told is what it must know."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from headrace.base.settings import Settings
from headrace.chat.install import is_installed, pins
from headrace.chat.place import load, load_or_make, place_of, save
from headrace.chat.wiring import variables


def test_secrets_are_made_once_for_this_user_alone(tmp_path: Path) -> None:
    place = place_of(Settings(home=tmp_path))
    assert load(place) is None
    made = save(place, load_or_make(place), url="http://127.0.0.1:8080")
    again = load(place)
    assert again is not None
    assert again.users.matches(made.users.reveal())
    assert again.url == "http://127.0.0.1:8080"
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert made.password.reveal() not in repr(made)
    assert len({made.password.reveal(), made.session.reveal(), made.users.reveal(), made.bell.reveal()}) == 4


def test_the_application_calls_the_gateway_for_a_signed_person(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, user_header="x-user-id")
    place = place_of(settings)
    connection = save(place, load_or_make(place), url="http://127.0.0.1:8080")
    told = variables(settings, place, connection, data_url="http://127.0.0.1:8000", control_url="http://127.0.0.1:8001")
    assert told["OPENAI_API_BASE_URLS"] == "http://127.0.0.1:8000/v1"
    headers = json.loads(told["OPENAI_API_CONFIGS"])["0"]["headers"]
    assert headers["X-Headrace-Message-Id"] == "{{MESSAGE_ID}}"
    assert headers["X-Headrace-Task"] == "{{TASK}}"
    assert headers["x-user-id"] == "{{USER_EMAIL}}"
    assert told["FORWARD_USER_INFO_HEADER_JWT_SECRET"] == connection.users.reveal()
    assert told["HEADRACE_CHAT_BELL_URL"] == "http://127.0.0.1:8001/api/v1/chat/bell"
    assert settings.admin_token.reveal() not in told.values() or not settings.admin_token


def test_pins_name_versions_and_no_place(tmp_path: Path) -> None:
    assert "open-webui==0.12.4" in pins()
    assert all("==" in line and "/" not in line and "@" not in line for line in pins())
    assert not any(line.startswith(("torch==", "nvidia-", "transformers==")) for line in pins())
    assert not is_installed(place_of(Settings(home=tmp_path)))
