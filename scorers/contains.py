"""`type: contains`"""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.scorer import SETTINGS, Verdict, lacks

Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]


@dataclass(frozen=True, config=SETTINGS)
class Contains:
    """Reads one field; 1 when it contains any of the texts, `measured` is how many of them."""

    any: Words
    field: str = "output"
    ignore_case: bool = True

    async def judge(self, subject: Subject) -> Verdict:
        """Looks for each text in the field."""
        text = subject.text(self.field)
        if text is None:
            return lacks(subject, self.field)
        folded = self._fold(text)
        found = [word for word in self.any if self._fold(word) in folded]
        reason = f"{self.field} contains {found[0]!r}" if found else f"{self.field} contains none of {list(self.any)}"
        return Verdict(value=float(bool(found)), measured=len(found), reason=reason)

    def _fold(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text
