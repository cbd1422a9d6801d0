"""The tokens keep their promises: contrast in both modes, one meaning a colour, and a map as CONSOLE.md draws it."""

from __future__ import annotations

import re

import pytest

from headrace.console import shell, theme
from headrace.console.parts.icon import PATHS
from headrace.console.parts.states import PHASES, STAGES, STATUSES, VERDICTS
from headrace.types.call import CallStatus
from headrace.types.model import Stage
from headrace.types.release import Phase, Verdict

MODES = {"light": theme.LIGHT, "dark": theme.DARK}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", theme.TEXTS)
@pytest.mark.parametrize("surface", theme.SURFACES)
def test_text_can_be_read_on_every_surface(mode: str, text: str, surface: str) -> None:
    colours = MODES[mode]
    assert contrast(colours[text], colours[surface]) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["primary", "danger"])
def test_buttons_can_be_read(mode: str, kind: str) -> None:
    assert contrast(MODES[mode][kind], MODES[mode][f"{kind}-ink"]) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mark", theme.MARKS)
def test_tinted_badges_can_be_read(mode: str, mark: str) -> None:
    """A badge's ground is 14 % of its mark on the surface."""
    colours = MODES[mode]
    pairs = zip(_rgb(theme.MARKS[mark]), _rgb(colours["surface"]), strict=True)
    ground = "#" + "".join(f"{round(0.14 * m + 0.86 * s):02X}" for m, s in pairs)
    assert contrast(colours[f"{mark}-text"], ground) >= 4.5


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_marks_are_those_of_the_design_language() -> None:
    assert theme.MARKS == {
        "baseline": "#3B82F6", "candidate": "#F59E0B", "shadow": "#8B5CF6", "good": "#10B981", "bad": "#EF4444",
        "unknown": "#64748B", "brand": "#0F9D9A",
    }  # fmt: skip


def test_the_look_speaks_in_tokens_alone() -> None:
    """No colour of its own, and no token that does not exist."""
    look = re.sub(r"/\*.*?\*/", "", (theme.HERE / "look.css").read_text(), flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", look)
    known = {*theme.MARKS, *theme.SERIES, *theme.LIGHT, "sans", "mono"}
    assert set(re.findall(r"var\(--([\w-]+)\)", look)) <= known
    assert theme.LIGHT.keys() == theme.DARK.keys()


def test_head_asks_nobody_for_anything() -> None:
    assert not re.findall(r"(?:src|href|url\()\s*[=('\"]*\s*(?:https?:)?//", theme.head())


def test_the_map_is_the_loop() -> None:
    drawn = [(station, [place.name for place in places]) for station, places in shell.MAP]
    assert drawn == [
        ("", ["overview"]),
        ("record", ["models", "datasets", "features", "lineage"]),
        ("release", ["endpoints", "releases", "gateway", "playground"]),
        ("observe", ["traces", "monitor", "alerts", "judges"]),
        ("learn", ["flywheel", "programs", "review", "jobs"]),
        ("govern", ["access", "policies", "audit", "webhooks", "compute", "costs", "settings"]),
        ("", ["assistant"]),
    ]
    assert {place.name for place in shell.PLACES} <= PATHS.keys()
    assert all(place.path in shell.PAGES for place in shell.PLACES)
    keys = [place.key for place in shell.PLACES if place.key]
    assert len(keys) == len(set(keys))


def test_no_page_shadows_an_address_that_programs_use() -> None:
    taken = ("/api", "/mlflow", "/models", "/export", "/health", "/docs", "/openapi.json", "/redoc")
    assert not [path for path in shell.PAGES if path.startswith(taken)]


def test_no_state_shows_by_colour_alone() -> None:
    assert PHASES.keys() == set(Phase)
    assert VERDICTS.keys() == set(Verdict)
    assert STATUSES.keys() == set(CallStatus)
    assert STAGES.keys() == set(Stage)
    for icon in (icon for table in (PHASES, VERDICTS, STATUSES) for _, icon in table.values()):
        assert icon in PATHS
