"""Every string that a person reads, by key, in English and 简体中文. Called through Visit.say.

Decides the language of a visit and fills values in; the words themselves are in words/, one file a page.
Ignores what a sentence means: sentences.py and the pages choose the key.
"""

from __future__ import annotations

from enum import StrEnum

from headrace.console.words import (
    costs,
    datasets,
    endpoints,
    flywheel,
    gateway,
    overview,
    pairs,
    parts,
    playground,
    programs,
    records,
    releases,
    results,
    review,
    shell,
    teach,
    theatre,
    traces,
    webhooks,
)

KINDS = (
    shell,
    parts,
    overview,
    endpoints,
    releases,
    theatre,
    results,
    pairs,
    traces,
    records,
    playground,
    programs,
    webhooks,
    teach,
    datasets,
    review,
    flywheel,
    gateway,
    costs,
)


class Language(StrEnum):
    ENGLISH = "en"
    CHINESE = "zh-CN"


CATALOGUE: dict[str, tuple[str, str]] = {key: pair for kind in KINDS for key, pair in kind.WORDS.items()}


def translate(language: Language, key: str, **values: object) -> str:
    """The message `key` in `language`. An unknown key is a programming error and raises KeyError."""
    english, chinese = CATALOGUE[key]
    text = chinese if language is Language.CHINESE else english
    return text.format(**values) if values else text


def choose_language(chosen: str | None, accepted: str) -> Language:
    """What the person chose before, else what the browser asks for first, else English."""
    if chosen in tuple(Language):
        return Language(chosen)
    first = accepted.split(",")[0].strip().lower()
    return Language.CHINESE if first.startswith("zh") else Language.ENGLISH
