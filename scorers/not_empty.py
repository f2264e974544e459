"""`type: not-empty`"""

import orjson
from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.said import unpacked
from scorers.scorer import SETTINGS, Verdict, lacks

EMPTY = frozenset(
    {"", "null", "none", "nil", "undefined", "nan", "n/a", "na", "{}", "[]", "[{}]", '""', "''", "``", "-"}
)
"""What programs and models write instead of nothing, in lower case and without white space."""


@dataclass(frozen=True, config=SETTINGS)
class NotEmpty:
    """Reads one field; 1 when it says something, `measured` is the number of its characters without outer white space."""

    field: str = "output"
    min_chars: int = Field(default=1, ge=1)

    async def judge(self, subject: Subject) -> Verdict:
        """Looks whether anything is said; calling a tool says something."""
        if self.field not in orjson.loads(subject.fields):
            return lacks(subject, self.field)
        found = unpacked(subject.text(self.field) or "")
        text = found.text.strip()
        if found.calls:
            return Verdict(value=1.0, measured=len(text), reason=f"{self.field} calls {len(found.calls)} tools")
        if len(text) < 10 and "".join(text.split()).lower() in EMPTY:
            return Verdict(value=0.0, measured=len(text), reason=f"{self.field} is empty: {text!r}")
        enough = len(text) >= self.min_chars
        relation = "at least" if enough else "fewer than"
        reason = f"{self.field} has {len(text)} characters, {relation} {self.min_chars}"
        return Verdict(value=float(enough), measured=len(text), reason=reason)
