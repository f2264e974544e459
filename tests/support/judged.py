"""Subjects for scorers, and the verdict of a scorer that a document would name."""

from typing import Any

import orjson

from schemas.documents.scorer import ScorerSpec
from schemas.subject import Subject
from scorers.registry import build
from scorers.scorer import Verdict


def example(**fields: Any) -> Subject:
    """Returns an example with these fields."""
    return Subject(project="p", kind="example", subject_id="e", fields=orjson.dumps(fields))


def span(kind: str = "llm", **told: Any) -> Subject:
    """Returns a span of a kind; `input` and `output` are its texts, the rest are fields of the subject."""
    texts = {name: told.pop(name) for name in ("input", "output") if name in told}
    return Subject(project="p", kind="span", subject_id="t:s", span_kind=kind, fields=orjson.dumps(texts), **told)


async def judged(scorer: str, subject: Subject, **settings: Any) -> Verdict:
    """Returns what a scorer of a type says with these settings."""
    return await build(ScorerSpec.model_validate({"type": scorer, "with": settings})).judge(subject)
