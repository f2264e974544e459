"""Requests of one pair that have to wait."""

from schemas.request import Pair, ScoreRequest
from schemas.subject import Subject


def asked(
    example: str = "e1", ingested_at: int = 100_000, project: str = "default", scorer: str = "s", version: str = ""
) -> ScoreRequest:
    """One scorer, asked for one example by name."""
    subject = Subject(project=project, kind="example", subject_id=example, fields=b'{"output":"hi"}', agent="clerk")
    pair = Pair(subject=0, scorer=scorer, version=version, base_version="", why="named by the example")
    return ScoreRequest(project=project, ingested_at=ingested_at, subjects=(subject,), pairs=(pair,))
