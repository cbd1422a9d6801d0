"""The rules in the order in which they run: whom to believe, which label, what to clean, what to leave out, the split.

A new rule is a file and a line here.
"""

from __future__ import annotations

from typing import Final

from headrace.data.rules.base import Rule
from headrace.data.rules.cap import Cap
from headrace.data.rules.complaints import Complaints
from headrace.data.rules.corrections import Corrections
from headrace.data.rules.duplicates import Duplicates
from headrace.data.rules.near import NearDuplicates
from headrace.data.rules.outliers import Outliers
from headrace.data.rules.praise import Praise
from headrace.data.rules.privacy import Privacy
from headrace.data.rules.raters import Raters
from headrace.data.rules.split import Splitter

RULES: Final[tuple[Rule, ...]] = (
    Raters(),
    Corrections(),
    Praise(),
    Complaints(),
    Privacy(),
    Outliers(),
    Duplicates(),
    NearDuplicates(),
    Cap(),
    Splitter(),
)
