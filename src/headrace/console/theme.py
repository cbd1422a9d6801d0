"""The tokens of the design language, once: colours, type, spacing. Read by mount (page head), charts and tests.

Decides which colour carries which meaning, in light and in dark, and nothing about where it is used.
Ignores layout: that is look.css, which speaks only in these variables.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent

# One colour, one meaning, in both modes; for marks (dots, bars, lines), never for text.
MARKS: dict[str, str] = {
    "baseline": "#3B82F6",
    "candidate": "#F59E0B",
    "shadow": "#8B5CF6",
    "good": "#10B981",
    "bad": "#EF4444",
    "unknown": "#64748B",
    "brand": "#0F9D9A",
}

# Things of one kind beside each other, such as teams: by rank, the last one for all the rest. No meaning but that.
SERIES: dict[str, str] = {
    "series-1": "#0F9D9A",
    "series-2": "#D1478F",
    "series-3": "#7FA52B",
    "series-4": "#A8673A",
    "series-5": "#26B5D9",
    "series-6": "#8794A8",
}

# Surfaces and text. Every text colour reaches 4.5:1 on every surface of its mode (tests/unit/console/test_theme.py).
LIGHT: dict[str, str] = {
    "page": "#F8FAFC",
    "surface": "#FFFFFF",
    "raised": "#FFFFFF",
    "sunken": "#F1F5F9",
    "line": "#E2E8F0",
    "line-strong": "#CBD5E1",
    "ink": "#0F172A",
    "ink-soft": "#475569",
    "ink-faint": "#5B6B82",
    "baseline-text": "#1D4ED8",
    "candidate-text": "#92400E",
    "shadow-text": "#6D28D9",
    "good-text": "#047857",
    "bad-text": "#B91C1C",
    "unknown-text": "#475569",
    "brand-text": "#0F766E",
    "primary": "#0F766E",
    "primary-ink": "#FFFFFF",
    "danger": "#B91C1C",
    "danger-ink": "#FFFFFF",
}
DARK: dict[str, str] = {
    "page": "#0B1220",
    "surface": "#111A2B",
    "raised": "#18233A",
    "sunken": "#0E1626",
    "line": "#22304A",
    "line-strong": "#3A4A66",
    "ink": "#E6EDF7",
    "ink-soft": "#A9B8CE",
    "ink-faint": "#8C9DB6",
    "baseline-text": "#93C5FD",
    "candidate-text": "#FCD34D",
    "shadow-text": "#C4B5FD",
    "good-text": "#6EE7B7",
    "bad-text": "#FCA5A5",
    "unknown-text": "#A9B8CE",
    "brand-text": "#5EEAD4",
    "primary": "#14B8A6",
    "primary-ink": "#042F2E",
    "danger": "#F87171",
    "danger-ink": "#2A0A0A",
}
SURFACES = ("page", "surface", "raised", "sunken")
TEXTS = ("ink", "ink-soft", "ink-faint", *(f"{name}-text" for name in MARKS))

SANS = (
    '-apple-system, "Segoe UI", Inter, "Helvetica Neue", Arial, "PingFang SC", "Microsoft YaHei", '
    '"Noto Sans CJK SC", "Noto Sans", sans-serif'
)
MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "Noto Sans CJK SC", monospace'

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#0F9D9A"/>'
    '<path d="M6 12c4-4 6 4 10 0s6 4 10 0M6 20c4-4 6 4 10 0s6 4 10 0" fill="none" stroke="#fff" stroke-width="2.5" '
    'stroke-linecap="round"/></svg>'
)


def head() -> str:
    """What every page carries in its head: the tokens, the look, and the few gestures that need no server."""
    look = (HERE / "look.css").read_text()
    gestures = (HERE / "gestures.js").read_text()
    return f"<style>{tokens()}\n{look}</style><script>{gestures}</script>"


def early() -> str:
    """The rail's outline, painted before any script has run; the page takes its place (look.css)."""
    return (
        f'<div id="early" class="shell" aria-hidden="true"><div class="rail"><span class="rail-brand">{ICON}'
        "<span>Headrace</span></span></div></div>"
    )


def tokens() -> str:
    marks = _declare(MARKS | SERIES)
    return (
        f":root {{ --sans: {SANS}; --mono: {MONO}; {marks} {_declare(LIGHT)} }}\n"
        f"body.body--dark {{ {_declare(DARK)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ html:not([data-mode=light]) {{ background: {DARK['page']} }} }}\n"
        f"html[data-mode=dark] {{ background: {DARK['page']} }}"
    )


def _declare(colours: dict[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
