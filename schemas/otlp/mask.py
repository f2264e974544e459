"""Well-known secrets are masked before anything is stored: by their form in a text, and by the name of an attribute.

Every pattern has a gate, a cheaper expression that must match first. All gates together are looked for by the regular expressions of Rust
that pydantic brings, in linear time and with vector instructions: 0.7 µs a kilobyte, where `re` takes as long for one or two of them.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from pydantic_core import SchemaValidator, core_schema

MASK = "***"

_SEPARATOR = r"\\*[\"']?\s*[:=]"
_NAMES = (
    "passw(?:or)?d|passphrase|secret|(?:api|access|private|secret)[_-]?key|authorization|cookie"
    "|(?:auth|access|refresh|id|bearer|session|api)[_-]?token"
)
_NAMED = re.compile(
    rf"""(?isx)
    (?P<name> (?:{_NAMES}) {_SEPARATOR} \s* )
    (?: (?P<quote> \\*["'] ) (?: (?!(?P=quote)) . ){{3,1024}}? (?=(?P=quote))
      | (?P<scheme> (?:bearer|basic)\s+ )? (?! (?:null|none|true|false|bearer|basic)\b ) [^\s"'\\,;&<>(){{}}\[\]*]{{3,1024}} )
    """
)
"""`password=…`, `"api_key": "…"`, also inside JSON inside JSON; three characters at least, so that no text gets longer."""


def _pattern(gate: str, pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(gate), re.compile(pattern, re.DOTALL)


_START = r"(?<![A-Za-z0-9])"

_FORMS = (
    _pattern(r"A(?:KIA|SIA)[A-Z0-9]", r"(?<![A-Z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])"),
    _pattern("AIza", _START + r"AIza[A-Za-z0-9_-]{35}"),
    _pattern(r"g(?:h[pousr]_|ithub_pat_)", _START + r"(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{22,255}"),
    _pattern(r"x(?:ox[abeoprs]|app)-", _START + r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,255}"),
    _pattern(r"slack\.com/", r"(?<=slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9/_-]{16,255}"),
    _pattern(
        r"sk-(?:(?:ant|proj|svcacct|admin|or|lf)-|[A-Za-z0-9]{20})|sk_live_",
        _START
        + r"(?:sk-(?:ant|proj|svcacct|admin|or|lf)-[\w-]{16,255}|sk-[A-Za-z0-9]{20,255}|sk_live_[A-Za-z0-9]{16,255})",
    ),
    _pattern("eyJ", r"(?<![\w-])eyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}\.[\w-]{16,1024}"),
    _pattern("vd_[0-9a-f]", _START + r"vd_[0-9a-f]{12}_[A-Za-z0-9_-]{43}"),
    _pattern("earer ", r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,4096}=*"),
    _pattern(
        "PRIVATE KEY-",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----(?:[^-]|-(?!----)){16,16384}-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----",
    ),
)
"""(gate, the secret itself): AWS, Google, GitHub, Slack, OpenAI and Anthropic, Stripe, JWT, our own keys, bearer tokens, PEM."""

_WORD = r"(?:key|ken|kie|assw(?:or)?d|assphrase|secret|uthorization)" + _SEPARATOR
"""The gate of the gate of names: both are tried on the text in lower case, and this one is faster on texts that have none."""


def _searches(pattern: str) -> Callable[[str], bool]:
    """Returns a function that tells whether a text has a match."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


_has_form = _searches("|".join(f"(?:{gate.pattern})" for gate, _ in _FORMS))
_has_word = _searches(_WORD)
_has_name = _searches(f"(?:{_NAMES}){_SEPARATOR}")

_SECRET_KEY = re.compile(rf"(?i)(?:^|[._-])(?:{_NAMES}|credentials?|token)$|authorization|(?:^|[._-])cookie(?:$|[._-])")


def suspicious(text: str) -> bool:
    """Returns whether a text may hold a secret; False is certain."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # Rust refuses halves of surrogate pairs
    return _has_form(text) or _names_a_secret(text.lower())


def mask(text: str) -> str:
    """Returns a text in which well-known secrets are replaced by `***`. It never gets longer.

    >>> mask("curl -H 'Authorization: Bearer 0123456789abcdef0123'")
    "curl -H 'Authorization: Bearer ***'"
    """
    if not suspicious(text):
        return text
    text = _NAMED.sub(_masked, text)
    for gate, pattern in _FORMS:
        if gate.search(text):
            text = pattern.sub(MASK, text)
    return text


def _names_a_secret(lower: str) -> bool:
    return _has_word(lower) and _has_name(lower)


@lru_cache(maxsize=8192)
def secret_key(key: str) -> bool:
    """Returns whether the value of an attribute is a secret by the attribute's name: a password, an API key, a cookie."""
    return _SECRET_KEY.search(key) is not None


def _masked(match: re.Match[str]) -> str:
    return "".join(_kept(match)) + MASK


def _kept(match: re.Match[str]) -> Iterator[str]:
    for group in ("name", "quote", "scheme"):
        yield match[group] or ""
