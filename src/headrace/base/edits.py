"""How far apart two texts are, in edits. Pure.

Called by release/compare.py for the answers of a shadow, and by gateway/checking.py for those of the cache.
"""

from __future__ import annotations

TEXT_LIMIT = 4_000  # characters of a text that are compared


def edit_distance(before: str, after: str) -> float:
    """Levenshtein's, over the longer one's length. Of long texts the beginnings are compared.

    All of a column of the table at once, as bits of one number (Myers 1999, in Hyyrö's form).
    """
    before, after = before[:TEXT_LIMIT], after[:TEXT_LIMIT]
    if not before or not after:
        return float(before != after)
    at: dict[str, int] = {}
    for index, character in enumerate(before):
        at[character] = at.get(character, 0) | 1 << index
    mask, last = (1 << len(before)) - 1, 1 << (len(before) - 1)
    positive, negative, distance = mask, 0, len(before)
    for character in after:
        equal = at.get(character, 0)
        vertical = equal | negative
        horizontal = (((equal & positive) + positive) ^ positive) | equal
        up = negative | ~(horizontal | positive) & mask
        down = positive & horizontal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & mask, down << 1 & mask
        positive = down | ~(vertical | up) & mask
        negative = up & vertical
    return distance / max(len(before), len(after))
