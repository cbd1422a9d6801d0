"""How the chat application is told of us: its environment variables, as a pure function.

Called by cli/chat.py at each start, so that what changed on our side (a port, a key) is in force. Decides what of it is
ours: the connection to the gateway, whom it calls for, who may sign up the first time. All else is the application's
own, set by its administrator in its own pages, and kept.
"""

from __future__ import annotations

import json
from pathlib import Path

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


def variables(
    settings: Settings, place: Place, connection: Connection, *, data_url: str, control_url: str
) -> dict[str, str]:
    """To be added to an environment that holds none of ours."""
    connections = {"0": {"enable": True, "headers": HEADERS | {settings.user_header: "{{USER_EMAIL}}"}}}
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
        "OPENAI_API_BASE_URLS": f"{data_url}/v1",
        "OPENAI_API_KEYS": connection.key.reveal() or "none",
        "OPENAI_API_CONFIGS": json.dumps(connections),
        # The gateway lists what each person may ask for, and refuses all else; a second list here would only differ.
        "BYPASS_MODEL_ACCESS_CONTROL": "true",
        "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
        "FORWARD_USER_INFO_HEADER_JWT_SECRET": connection.users.reveal(),
        "HEADRACE_CHAT_BELL_URL": f"{control_url}{BELL_PATH}",
        "HEADRACE_CHAT_BELL_TOKEN": connection.bell.reveal(),
    }


def _site(place: Place) -> Path:
    return next(iter(sorted((place.environment / "lib").glob("python3.*"))), place.environment) / "site-packages"
