"""Icons as inline SVG strokes on a 24 grid, in the colour of the text beside them. Drawn here: no icon font to load.

Called by parts and pages by name. Decides nothing. An icon never stands alone without a label for screen readers.
"""

from __future__ import annotations

from nicegui import ui

from headrace.console.parts.tag import markup

PATHS: dict[str, str] = {
    "overview": "M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z",
    "models": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "datasets": "M4 6c0-4 16-4 16 0s-16 4-16 0v12c0 4 16 4 16 0V6M4 12c0 4 16 4 16 0",
    "features": "M4 4h16v16H4zM4 9.5h16M10 9.5V20M15 9.5V20",
    "lineage": "M6 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM6 20a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM18 14a2 2 0 1 0 0-4 2 2 0 0 0 0 4z"
    "M6 8v8M8 6.5c5 0 8 1 8 4",
    "endpoints": "M9 7V3M15 7V3M6 7h12v5a6 6 0 0 1-12 0zM12 18v3",
    "releases": "M4 20V9M9 20v-7M14 20V6M19 20V3M3 20h18",
    "gateway": "M4 8h14l-4-4M20 16H6l4 4",
    "playground": "M7 4.5v15l12-7.5z",
    "traces": "M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01",
    "monitor": "M3 12h4l3-8 4 16 3-8h4",
    "alerts": "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
    "judges": "M12 3v18M7 21h10M5 7h14M5 7l-3 7h6zM19 7l-3 7h6z",
    "flywheel": "M20 12a8 8 0 1 1-2.3-5.6M20 3v4.5h-4.5",
    "programs": "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
    "review": "M4 13l3-8h10l3 8v6H4zM4 13h5l1.5 3h3L15 13h5",
    "jobs": "M4 7h16v13H4zM9 7V4h6v3M4 13h16",
    "access": "M15 11a4 4 0 1 0-4-4c0 .6.1 1.2.4 1.7L4 16v4h4v-3h3v-3h1.5",
    "policies": "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM9 12l2 2 4-4",
    "audit": "M6 3h9l4 4v14H6zM15 3v4h4M9.5 12h6M9.5 16h6",
    "compute": "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
    "costs": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM15 9c-1-1.5-5.5-1.5-5.5 1s5.5 1.5 5.5 4-4.5 2.5-6 1"
    "M12 6v1.5M12 16.5V18",
    "webhooks": "M12 12a4 4 0 1 0-3.5-6M12 8l4 8M20 17a4 4 0 1 0-4-1M4.5 14a4 4 0 1 0 5.5 4h6",
    "settings": "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
    "assistant": "M4 5h16v11H12l-5 4v-4H4zM9 10.5h.01M12 10.5h.01M15 10.5h.01",
    "search": "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16 16l4.5 4.5",
    "sun": "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1 1M17.4 17.4l1 1"
    "M18.4 5.6l-1 1M6.6 17.4l-1 1",
    "moon": "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
    "help": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.5 9.5c0-3.5 5-3.2 5 0 0 2-2.5 2-2.5 4M12 16.5h.01",
    "copy": "M9 9h11v11H9zM5 15H4V4h11v1",
    "close": "M6 6l12 12M18 6L6 18",
    "check": "M5 12.5l4.5 4.5L19 7",
    "left": "M15 5l-7 7 7 7",
    "right": "M9 5l7 7-7 7",
    "pause": "M8 5v14M16 5v14",
    "play": "M7 4.5v15l12-7.5z",
    "promote": "M12 20V4M5 11l7-7 7 7",
    "undo": "M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3",
    "warn": "M12 4l9.5 16h-19zM12 10v4.5M12 17.5h.01",
    "hold": "M7 3h10M7 21h10M8 3c0 5 8 7 8 9s-8 4-8 9M16 3c0 5-8 7-8 9s8 4 8 9",
    "up": "M7 11v9H4v-9zM7 11l4-7c2 0 2.5 1.5 2 3l-.5 2.5H19c1 0 1.5 1 1.3 2l-1.5 7c-.2.9-.9 1.5-1.8 1.5H7",
    "down": "M7 13V4H4v9zM7 13l4 7c2 0 2.5-1.5 2-3l-.5-2.5H19c1 0 1.5-1 1.3-2l-1.5-7C18.6 4.6 17.9 4 17 4H7",
    "pen": "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
    "external": "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
    "rows": "M4 5h16v14H4zM4 10h16M4 14.5h16M10 5v14",
    "key": "M15 11a4 4 0 1 0-4-4c0 .6.1 1.2.4 1.7L4 16v4h4v-3h3v-3h1.5",
    "plus": "M12 5v14M5 12h14",
    "download": "M12 4v11M7 11l5 5 5-5M4 20h16",
    "more": "M5 12h.01M12 12h.01M19 12h.01",
    "dice": "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01"
    "M15.5 15.5h.01M12 12h.01",
    "info": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5.5M12 7.5h.01",
    "arrow": "M4 12h16M14 6l6 6-6 6",
    "eye": "M2.5 12c3-5 6-7 9.5-7s6.5 2 9.5 7c-3 5-6 7-9.5 7s-6.5-2-9.5-7zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
    "person": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 20c1-4 4-5.5 8-5.5s7 1.5 8 5.5",
    "flag": "M5 21V4M5 5h14l-3.5 4.5L19 14H5",
    "clock": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3.5 2",
}


def svg(name: str) -> str:
    return f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{PATHS[name]}"/></svg>'


def icon(name: str, classes: str = "") -> ui.html:
    return markup(svg(name), f"ico {classes}")
