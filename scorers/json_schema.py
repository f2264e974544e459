"""`type: json-schema`"""

from functools import cached_property
from itertools import islice
from typing import Any, Self

import jsonschema_rs
import orjson
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.said import said
from scorers.scorer import SETTINGS, Verdict, lacks

MOST = 100
TOLD = 3
CUT = "\n[… cut: "
"""How the marker in a text begins that was too long."""
_BACKTRACKS = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)
"""Of a `pattern` in a schema: one that needs more does not match."""


@dataclass(frozen=True, config=SETTINGS)
class JsonSchema:
    """Reads one field; 1 when it is JSON that satisfies the schema, `measured` is the number of violations."""

    schema: dict[str, Any] | bool = Field(description="JSON Schema, draft 2020-12 unless `$schema` names another")
    field: str = "output"

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            _ = self._validator
        except jsonschema_rs.ValidationError as error:
            raise ValueError(f"no JSON Schema: at {_pointer(error)}: {error.message}") from None
        except ValueError as error:
            raise ValueError(f"no JSON Schema: {error}") from None
        return self

    @cached_property
    def _validator(self) -> jsonschema_rs.Validator:
        """What `$ref` names must stand in the schema itself: nothing is ever fetched."""
        return jsonschema_rs.validator_for(self.schema, offline=True, pattern_options=_BACKTRACKS)

    async def judge(self, subject: Subject) -> Verdict:
        """Parses the field and counts the violations, at most 100."""
        found = said(subject, self.field)
        if found is None:
            return lacks(subject, self.field)
        if not found.texts and found.calls:
            return Verdict(skipped=True, reason=f"{self.field} has no text: it calls {len(found.calls)} tools")
        try:
            value = orjson.loads(found.text)
        except orjson.JSONDecodeError as error:
            if CUT in found.text:
                return Verdict(skipped=True, reason=f"{self.field} was cut: it was longer than is stored")
            return Verdict(value=0.0, measured=1, reason=self._no_json(found.text, error))
        try:
            count, first = self._violations(value)
        except ValueError as error:  # it nests deeper than can be compared
            return Verdict(value=0.0, measured=1, reason=f"{self.field} cannot be compared with the schema: {error}")
        if not count:
            return Verdict(value=1.0, measured=0, reason=f"{self.field} satisfies the schema")
        more = f"; and {count - len(first)} more" if count > len(first) else ""
        return Verdict(value=0.0, measured=count, reason=f"{self.field} breaks the schema {'; '.join(first)}{more}")

    def _violations(self, value: Any) -> tuple[int, list[str]]:
        """How many there are, and the first three in words. Only these are kept: a violation quotes all that it is about."""
        count, first = 0, []
        for count, error in enumerate(islice(self._validator.iter_errors(value), MOST), 1):
            if count <= TOLD:
                first.append(f"at {_pointer(error)}: {error.message[:200]}")
        return count, first

    def _no_json(self, text: str, error: orjson.JSONDecodeError) -> str:
        fenced = "; it is wrapped in a ``` fence" if text.lstrip().startswith("```") else ""
        return f"{self.field} is no JSON: {error.msg.split(':')[0]} at line {error.lineno} column {error.colno}{fenced}"


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    return "".join(f"/{step}" for step in error.instance_path) or "the top"
