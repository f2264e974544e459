import pytest

from schemas.documents.scorer import ScorerSpec
from scorers.contains import Contains
from scorers.latency import Latency
from scorers.regex import Regex
from scorers.registry import build
from scorers.scorer import Scorer


def spec(kind: str, **settings: object) -> ScorerSpec:
    return ScorerSpec.model_validate({"type": kind, "with": settings})


@pytest.mark.parametrize(
    ("document", "scorer"),
    [
        (spec("contains", any=["a"], field="x", ignore_case=False), Contains(("a",), "x", ignore_case=False)),
        (spec("regex", pattern="a"), Regex("a")),
        (spec("latency", max_ms=5), Latency(5)),
    ],
)
def test_a_document_becomes_its_scorer(document: ScorerSpec, scorer: Scorer) -> None:
    assert build(document) == scorer


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (spec("contians"), "no scorer type 'contians'; did you mean 'contains'?"),
        (spec("zzz"), "no scorer type 'zzz'; there are contains, latency, regex"),
        (spec("latency", max_ms=0), "latency: with.max_ms: Input should be greater than 0, got 0"),
        (spec("contains", any=[]), "contains: with.any: "),
        (spec("contains", any=[""]), "contains: with.any.0: "),
        (spec("contains", any=["a"], feild="x"), "contains: with.feild: "),
        (spec("regex", pattern="("), "regex: with: Value error, '(' is no regular expression: missing )"),
    ],
)
def test_a_wrong_document_is_refused_with_the_value_and_the_fix(document: ScorerSpec, reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        build(document)
    assert str(refused.value).startswith(reason)
