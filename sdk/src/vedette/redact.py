"""Secrets in arguments: the values of names that tell a secret are never read."""

import re
from functools import lru_cache

MASK = "***"

_SECRET = re.compile(
    r"(?i)(?:^|[._-]|(?<=[a-z]))"
    r"(?:passw(?:or)?d|passphrase|pwd|secret|secret[_-]?(?:key|token)|(?:api|access|private|secret|client|signing)[_-]?(?:key|secret)"
    r"|(?:auth|access|refresh|id|bearer|session|api|csrf)[_-]?token|token|credentials?|authorization|(?:set-)?cookies?)$"
)


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Returns whether a name of an argument, a field or a header tells that its value is a secret.

    >>> [is_secret(name) for name in ("api_key", "x-api-key", "OpenAIApiKey", "Authorization", "max_tokens", "request")]
    [True, True, True, True, False, False]
    """
    return _SECRET.search(name) is not None
