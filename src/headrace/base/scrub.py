"""Personal data in text, found by form and proven by checksum where there is one. Pure; called by the curation of
datasets and the gateway's guards.

Decides what is personal data: e-mail addresses, keys and tokens, IBANs (mod 97), card numbers (Luhn), IP addresses, and
telephone numbers (written as one: with a plus, or in groups). A number that fails its checksum stays: order numbers and
measurements are not cards. Names and addresses of persons are not found: no pattern can.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

KINDS: Final = ("email", "key", "iban", "card", "ip", "phone")


def scrub(text: str, found: Counter[str] | None = None) -> str:
    """What is found is replaced by its kind, such as <email>, and counted."""
    if len(text) < 6:
        return text
    for kind, pattern, proven in _PATTERNS:
        if pattern.search(text):
            text = pattern.sub(_replacing(kind, proven, found), text)
    return text


def spans(text: str) -> list[tuple[int, int, str]]:
    """Where personal data is, in order and without overlap: start, end, kind. What is found first keeps its place."""
    found: list[tuple[int, int, str]] = []
    for kind, pattern, proven in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if proven(match[0]) and not any(start < e and s < end for s, e, _ in found):
                found.append((start, end, kind))
    return sorted(found)


def scrub_value(value: Any, found: Counter[str] | None = None) -> Any:
    """Every text in it; keys of objects and numbers stay."""
    if isinstance(value, str):
        return scrub(value, found)
    if isinstance(value, list | tuple):
        return [scrub_value(part, found) for part in value]
    if isinstance(value, dict):
        return {key: scrub_value(part, found) for key, part in value.items()}
    return value


def _replacing(kind: str, proven: Callable[[str], bool], found: Counter[str] | None) -> Callable[[re.Match[str]], str]:
    def replaced(match: re.Match[str]) -> str:
        if not proven(match[0]):
            return match[0]
        if found is not None:
            found[kind] += 1
        return f"<{kind}>"

    return replaced


def luhn(text: str) -> bool:
    """Of a card: 13 to 19 digits, and the checksum."""
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    total = sum(d if n % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for n, d in enumerate(reversed(digits)))
    return total % 10 == 0


def iban(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _address(text: str) -> bool:
    """Not a::b, which is a word of C++ more often."""
    if ":" in text and (len(text) < 7 or not any(c.isdigit() for c in text)):
        return False
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _phone(text: str) -> bool:
    digits = sum(c.isdigit() for c in text)
    return 8 <= digits <= 15 and (text.startswith(("+", "00")) or bool(_GROUPED.fullmatch(text.strip())))


def _always(_: str) -> bool:
    return True


# As people write a number at home: from a zero on, with the area in brackets, or as three, three and four digits.
_GROUPED: Final = re.compile(
    r"0\d{1,5}[ /.-]\d{2,8}(?:[ .-]\d{1,5}){0,4}|\(\d{2,5}\) ?\d[\d -]{4,12}|\d{3}[-. ]\d{3}[-. ]\d{4}"
)
_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghs|xox[abprs]|glpat|hf|AKIA|ASIA|AIza)[-_]?[A-Za-z0-9_-]{16,}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)
_DATE: Final = re.compile(r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}")


def _told_phone(text: str) -> bool:
    return not _DATE.match(text.strip()) and _phone(text)


_PATTERNS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]] = (
    ("key", _KEY, _always),
    ("email", re.compile(r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}"), _always),
    ("iban", re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?\b"), iban),
    ("card", re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]\d)"), luhn),
    (
        "ip",
        re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w.:]*\w)"),
        _address,
    ),
    ("phone", re.compile(r"(?<![\w.])(?:\+|00)?\(?\d(?:[ ()/.-]{0,2}\d){7,14}(?![\w]|\.\d)"), _told_phone),
)
