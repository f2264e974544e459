"""Forms of personal data: a pattern, which finds, and a check, which lets through what is one by its check digits.

Patterns begin and end at the bounds of a word, so that parts of longer numbers (ids, hashes, times) are none. Each has a gate, a
simpler expression that must match first and that the regular expressions of Rust look for in a tenth of the time.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from pydantic_core import SchemaValidator, core_schema
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.us import ssn

_BEGIN = r"(?<![\w.+\-])(?<!\w/)"
_END = r"(?![\w\-])(?!\.\d)"
_GAP = r"[ \u00a0.\-]"


@dataclass(frozen=True)
class Form:
    """How one kind of personal data looks."""

    gate: Callable[[str], bool]
    """False: the pattern finds nothing."""
    pattern: re.Pattern[str]
    check: Callable[[str], str]
    """The find itself, or an empty text when it is none; it may end before what the pattern took."""

    def found(self, text: str, most: int) -> tuple[list[str], str]:
        """Returns what passes the check among the first `most` places that look so, and the text without it."""
        if not self.gate(text):
            return [], text
        finds: list[str] = []
        rest, at = [], 0
        for match in islice(self.pattern.finditer(text), most):
            if value := self.check(match.group()):
                finds.append(value)
                rest.append(text[at : match.start()])
                at = match.start() + len(value)
        return finds, " ".join((*rest, text[at:])) if finds else text


def _form(gate: str, pattern: str, check: Callable[[str], str], flags: re.RegexFlag = re.NOFLAG) -> Form:
    searches = SchemaValidator(core_schema.str_schema(pattern=f"(?i){gate}", regex_engine="rust-regex"))
    return Form(searches.isinstance_python, re.compile(pattern, flags | re.IGNORECASE), check)


def _valid(is_valid: Callable[[str], bool]) -> Callable[[str], str]:
    return lambda text: text if is_valid(text) else ""


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


_FILES = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "json", "html", "py", "md", "txt", "pdf"}
)


def _email(text: str) -> str:
    """A name of a file (`icon@2x.png`) and the user of a repository (`git@github.com`) are none."""
    user, _, domain = text.rpartition("@")
    top = domain.rpartition(".")[2].lower()
    return text if user != "git" and ".." not in user and top.isalpha() and len(top) > 1 and top not in _FILES else ""


_NETWORKS = (
    (re.compile(r"4"), (16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|64[4-9]|65|35(?:2[89]|[3-8])|62"), (16, 17, 18, 19)),
    (re.compile(r"30[0-5]|3095|36|3[89]"), (14,)),
)
"""What the numbers of the card networks begin with, and how many digits they have (ISO/IEC 7812)."""


def _card(text: str) -> str:
    digits = _digits(text)
    known = any(begin.match(digits) and len(digits) in lengths for begin, lengths in _NETWORKS)
    return text if known and luhn.is_valid(digits) else ""


def _iban(text: str) -> str:
    """A word may follow: the longest beginning that ends with a group and is valid."""
    while text and not iban.is_valid(text):
        text = text.rpartition(" ")[0]
    return text.rstrip()


def _ssn(text: str) -> str:
    """With the word before it, it may lack its hyphens."""
    return text if ssn.is_valid(_digits(text)) else ""


def _ip(text: str) -> str:
    """Addresses of the public internet; one whose four numbers are single digits is a version."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    is_version = address.version == 4 and len(text) == len("1.2.3.4")
    return text if address.is_global and not address.is_multicast and not is_version else ""


def _phone(text: str) -> str:
    """7 to 15 digits (ITU-T E.164)."""
    digits = _digits(text)
    return text if 7 <= len(digits) <= 15 and len(set(digits)) > 2 else ""


_CARD = (
    _BEGIN + r"(?:\d{14,19}|\d{4}(?P<a>[ \-])\d{4}(?P=a)\d{4}(?P=a)\d{4}(?:(?P=a)\d{3})?"
    r"|\d{4}(?P<b>[ \-])\d{6}(?P=b)\d{4,5})" + _END
)
_EMAIL = r"(?<![\w.+%\-])[\w+%\-][\w.+%\-]{0,63}+@[^\W_][\w\-]{0,62}+(?:\.[^\W_][\w\-]{0,62}+){1,8}+"
_FISCAL = (
    r"(?<![\w\-])[a-z]{6}\d{2}[abcdehlmprst][0-9lmnp-v]{2}[a-z][0-9lmnp-v]{3}[a-z](?![\w\-])"  # l to v stand for digits
)
_IBAN = r"(?<![\w\-])[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,4})?(?![\w\-])"
_IP = (
    r"(?<![\w.:\-])(?<!\w/)(?<!version )(?<!release )(?<!section )"
    r"(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w\-])(?!\.\d)|[23][0-9a-f]{3}(?::[0-9a-f]{0,4}){2,7}(?![\w:]))"
)
_NIR = _BEGIN + r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}" + _END
_SSN = _BEGIN + r"(?:\d{3}-\d{2}-\d{4}|(?:ssn|social security(?: number)?)(?: is|:|#|=)? ?\d{3} ?\d{2} ?\d{4})" + _END
_CALLED = "tel|phone|telefon|téléphone|teléfono|mobile?|cell|call|fax|whatsapp"
_PHONE = (
    r"(?<![\w.\-])(?<!\w/)(?:"
    rf"(?:\+|(?<!\d )00(?=[1-9]\d{{0,2}}{_GAP}))[1-9]\d{{0,2}}{_GAP}?(?:\(\d{{1,5}}\){_GAP}?)?\d(?:{_GAP}?\d){{5,13}}"
    rf"|(?:1{_GAP})?(?:\([2-9]\d\d\) ?|[2-9]\d\d{_GAP})[2-9]\d\d[ .\-]\d{{4}}"
    rf"|(?:{_CALLED})[a-z ]{{0,12}}+[.:]? ?\(?0\d{{1,4}}\)?(?:[ /.\-]{{0,2}}\d){{5,11}}"
    r")" + _END
)

KINDS: Mapping[str, Form] = {
    "email": _form("@", _EMAIL, _email),
    "iban": _form(r"(?-u:\b)[a-z]{2}[0-9]{2} ?[a-z0-9]{4} ?[a-z0-9]{4}", _IBAN, _iban, re.ASCII),
    "card": _form("[0-9]{14}|[0-9]{4}[ -](?:[0-9]{4}[ -][0-9]{4}[ -]|[0-9]{6}[ -])[0-9]{4}", _CARD, _card, re.ASCII),
    "nir": _form(
        "[12] ?[0-9]{2} ?[01][0-9] ?[0-9][0-9ab] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", _NIR, _valid(nir.is_valid), re.ASCII
    ),
    "cpf": _form(
        r"[0-9]\.[0-9]{3}-[0-9]{2}",
        _BEGIN + r"\d{3}\.\d{3}\.\d{3}-\d{2}" + _END,
        _valid(cpf.is_valid),
        re.ASCII,
    ),
    "fiscal-code": _form("[a-z]{6}[0-9]{2}[a-z]", _FISCAL, _valid(codicefiscale.is_valid), re.ASCII),
    "ssn": _form("[0-9]{3}-[0-9]{2}-[0-9]{4}|ssn|social security", _SSN, _ssn, re.ASCII),
    "ip": _form(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9a-f]{3}:[0-9a-f:]", _IP, _ip, re.ASCII),
    "phone": _form(
        rf"(?:\+|(?-u:\b)00)[1-9]|[2-9][0-9]{{2}}[ \x{{a0}}.-][0-9]{{4}}|(?:{_CALLED})[a-z .:]{{0,15}}\(?0",
        _PHONE,
        _phone,
    ),
}
"""By name, in the order in which they are looked for: what has check digits comes before what has none."""
