"""`type: language`"""

import difflib
import re
from typing import Annotated, Self

import pycld2  # type: ignore[import-untyped]
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.said import said
from scorers.scorer import SETTINGS, Verdict, lacks

LONGEST = 100_000
"""Characters of a text that are looked at."""
SHORT = 200
"""In texts of fewer characters, languages that are nearly the same are not told apart."""
_KIN = tuple(
    frozenset(codes.split())
    for codes in ("no nn da sv", "hr sr bs sl", "id ms", "cs sk", "pt gl es", "zh zh-hant", "nl af", "ru uk be bg mk")
)
_OTHER_CODES = {
    "nb": "no", "he": "iw", "jv": "jw", "fil": "tl", "zh-cn": "zh", "zh-sg": "zh", "zh-hans": "zh", "zh-tw": "zh-hant",
    "zh-hk": "zh-hant", "zh-mo": "zh-hant",
}  # fmt: skip
"""Codes of ISO 639 and BCP 47 that the detector writes in another way."""
_CODES = {name.lower(): code.lower() for name, code in pycld2.LANGUAGES if name in pycld2.DETECTED_LANGUAGES}
_NO_WORDS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]{1,200}`|https?://\S+|(?<![\w.+-])[\w.+-]{1,64}+@[\w.-]{1,255}"
    r"|[^\S \n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef]|[\ufffe\uffff]"
    r"|[" + "".join(f"{chr(plane * 65536 + 65534)}{chr(plane * 65536 + 65535)}" for plane in range(1, 17)) + "]",
    re.DOTALL,
)
"""Code and addresses have no language; the detector refuses control characters and what is no character."""


def _code(text: str) -> str:
    low = text.strip().lower().replace("_", "-")
    for code in (low, low.partition("-")[0]):
        if (known := _OTHER_CODES.get(code, code)) in _CODES.values():
            return known
    near = difflib.get_close_matches(low, _CODES, 1)
    hint = f"did you mean {_CODES[near[0]]!r}?" if near else "write a code of ISO 639-1 as en, de, fr"
    raise ValueError(f"no language {text!r} is known; {hint}")


Codes = tuple[Annotated[str, AfterValidator(_code)], ...]


@dataclass(frozen=True, config=SETTINGS)
class Language:
    """Reads one field; 1 when most of it is in a wanted language, `measured` is the share of the text that is, 0 to 1."""

    any: Codes = Field(default=(), max_length=50, description="codes of ISO 639-1 (en, de, zh), or of BCP 47 (zh-TW)")
    same_as: str = Field(default="", description="instead of `any`: the field whose language is wanted, as `input`")
    field: str = "output"

    @model_validator(mode="after")
    def _wants_one(self) -> Self:
        if bool(self.any) == bool(self.same_as):
            raise ValueError("give `any` (codes as en, de) or `same_as` (a field as input), one of the two")
        if self.same_as == self.field:
            raise ValueError(f"`same_as` and `field` are both {self.field!r}: it is always in its own language")
        return self

    async def judge(self, subject: Subject) -> Verdict:
        """Detects the language; a text that is too short or too mixed to tell is skipped."""
        told: list[dict[str, float]] = []
        shortest = LONGEST
        for name in (self.field, self.same_as) if self.same_as else (self.field,):
            found = said(subject, name)
            if found is None:
                return lacks(subject, name)
            text = _NO_WORDS.sub(" ", found.text[:LONGEST]).strip()
            shares = _shares(text)
            if not shares:
                reason = f"could not tell the language of {name}: {_number_of_letters(text)}"
                return Verdict(skipped=True, reason=reason)
            told.append(shares)
            shortest = min(shortest, len(text))
        wanted = (next(iter(told[1])),) if self.same_as else self.any
        return self._judged(told[0], wanted, shortest)

    def _judged(self, shares: dict[str, float], wanted: tuple[str, ...], length: int) -> Verdict:
        main, share = next(iter(shares)), sum(shares[code] for code in shares if _is(code, wanted))
        right = _is(main, wanted)
        what = f"{self.field} is in {main!r} ({shares[main]:.0%})"
        if not right and length < SHORT and _kin(main, wanted):
            return Verdict(skipped=True, reason=f"{what} or nearly so: too short to tell it from {' or '.join(wanted)}")
        relation = "" if right else "not "
        source = f", the language of {self.same_as}" if self.same_as else ""
        reason = f"{what}, {relation}in {' or '.join(wanted)}{source}"
        return Verdict(value=float(right), measured=share, label=main, reason=reason)


def _shares(text: str) -> dict[str, float]:
    """The languages of a text by their shares, the largest first; empty when it cannot be told."""
    try:
        reliable, _, found = pycld2.detect(text, isPlainText=True)
    except pycld2.error:  # it is no text after all
        return {}
    percents = {code.lower(): percent for _, code, percent, _ in found if code != "un" and percent > 0}
    whole = sum(percents.values())
    ordered = sorted(percents.items(), key=lambda pair: -pair[1])
    return {code: percent / whole for code, percent in ordered} if reliable else {}


def _is(code: str, wanted: tuple[str, ...]) -> bool:
    """In a few characters both scripts of Chinese are the same: who wants `zh` takes either."""
    return code in wanted or (code == "zh-hant" and "zh" in wanted)


def _kin(code: str, wanted: tuple[str, ...]) -> bool:
    return any(code in group and not group.isdisjoint(wanted) for group in _KIN)


def _number_of_letters(text: str) -> str:
    letters = sum(map(str.isalpha, text))
    return f"{letters} letters are too few" if letters < SHORT else f"its {letters} letters are no clear language"
