"""How the chat application is told of us: its environment variables, as a pure function.

Called by cli/chat.py at each start. Decides what of it is ours: the connection to the gateway, whom it calls for. All
else is the application's own, set by its administrator in its own pages, and kept. The connection it keeps too, from
its first start on: webui.py changes that one when a port or a key of ours has changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.chat.place import Connection, Place

# Which answer of which conversation a call is for; TASK is set for titles, tags and the like, which the gateway gives
# to a cheaper model and keeps out of the evidence of quality.
HEADERS = {
    "X-Headrace-Message-Id": "{{MESSAGE_ID}}",
    "X-Headrace-Chat-Id": "{{CHAT_ID}}",
    "X-Headrace-Task": "{{TASK}}",
}
BELL_PATH = "/api/v1/chat/bell"
_OFFLINE = {
    "OFFLINE_MODE": "true",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "true",
    "SCARF_NO_ANALYTICS": "true",
    "ENABLE_COMMUNITY_SHARING": "false",
}
# Its own speech, embeddings and text recognition are not installed (install.py).
_SLIM = {
    "USE_SLIM_DOCKER": "true",
    "RAG_EMBEDDING_ENGINE": "openai",
    "BYPASS_EMBEDDING_AND_RETRIEVAL": "true",
    "AUDIO_STT_ENGINE": "openai",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The application's connection to the gateway."""

    url: str
    key: Secret
    headers: dict[str, str]


def wire_of(settings: Settings, connection: Connection, *, data_url: str) -> Wire:
    return Wire(
        url=f"{data_url}/v1",
        key=connection.key or Secret("none"),  # it wants one, also where none is asked for
        headers=HEADERS | {settings.user_header: "{{USER_EMAIL}}"},
    )


def variables(
    settings: Settings, place: Place, connection: Connection, *, data_url: str, control_url: str
) -> dict[str, str]:
    """To be added to an environment that holds none of ours."""
    wire = wire_of(settings, connection, data_url=data_url)
    return {
        **_OFFLINE,
        **_SLIM,
        "DATA_DIR": str(place.data),
        "FRONTEND_BUILD_DIR": str(_site(place) / "open_webui" / "frontend"),
        "WEBUI_SECRET_KEY": connection.session.reveal(),
        "WEBUI_ADMIN_EMAIL": connection.email,
        "WEBUI_ADMIN_PASSWORD": connection.password.reveal(),
        "WEBUI_ADMIN_NAME": "Headrace",
        "DEFAULT_USER_ROLE": "user",
        "CORS_ALLOW_ORIGIN": connection.url,
        "ENABLE_OLLAMA_API": "false",
        "OPENAI_API_BASE_URLS": wire.url,
        "OPENAI_API_KEYS": wire.key.reveal(),
        "OPENAI_API_CONFIGS": json.dumps({"0": {"enable": True, "headers": wire.headers}}),
        # The gateway lists what each person may ask for, and refuses all else; a second list here would only differ.
        "BYPASS_MODEL_ACCESS_CONTROL": "true",
        "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
        "FORWARD_USER_INFO_HEADER_JWT_SECRET": connection.users.reveal(),
        "HEADRACE_CHAT_BELL_URL": f"{control_url}{BELL_PATH}",
        "HEADRACE_CHAT_BELL_TOKEN": connection.bell.reveal(),
    }


def _site(place: Place) -> Path:
    return next(iter(sorted((place.environment / "lib").glob("python3.*"))), place.environment) / "site-packages"
