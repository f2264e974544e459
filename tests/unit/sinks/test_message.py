"""What every destination says."""

from schemas.documents.rule import RuleSpec
from sinks.message import clean, compose, condition
from sinks.testing import ACKNOWLEDGED, FIRED, RENOTIFIED, RESOLVED, RULE


def test_the_headline_says_what_became_of_the_alert() -> None:
    acknowledged_again = RENOTIFIED.model_copy(update={"state": "acknowledged"})
    changes = (FIRED, RENOTIFIED, acknowledged_again, ACKNOWLEDGED, RESOLVED)
    topic = "Package Inquiry Failures (CustomerServiceAgent)"
    assert [compose(change, RULE, "", "x").headline for change in changes] == [
        f"Firing: {topic}",
        f"Still firing: {topic}",
        f"Acknowledged, fired again: {topic}",
        f"Acknowledged: {topic}",
        f"Resolved: {topic}",
    ]


def test_conditions_read_as_they_are_written() -> None:
    when = {
        "any": [
            {"scorer": "Politeness", "op": "<", "value": 0.5},
            {"metric": "duration_ms", "op": ">=", "value": 2000},
            {"attribute": "tier", "op": "==", "value": "gold"},
            {"tag": "beta"},
            {"bucket": "Angry"},
        ]
    }
    spec = RuleSpec.model_validate({"when": when})
    assert (
        condition(spec) == "Politeness < 0.5 or duration_ms >= 2000 or tier == gold or tagged beta or in bucket Angry"
    )
    labels = {"all": [{"scorer": "Tone", "in": ["rude", "curt"]}, {"attribute": "tier", "in": ["gold"]}]}
    assert condition(RuleSpec.model_validate({"when": labels})) == "Tone is rude or curt and tier is gold"


def test_the_newest_matches_are_shown_first_and_two_tellings_differ_by_recipient_only() -> None:
    one, other = (compose(FIRED, RULE, "https://v", who) for who in ("a@x.org", "b@x.org"))
    assert [sample.reason[-3:] for sample in one.samples] == ["(0)", "(1)", "(2)"]
    assert one.identity != other.identity
    assert one.identity == one.first_identity


def test_clean_text_has_no_control_and_no_direction() -> None:
    assert clean("a\x00b\u202ec\u2066d\ufeffe\x1b[1m\n\u2028f\ud800", 100) == "abcde[1m f"
    assert clean("a\nb\tc", 100, lines=True) == "a\nb c"
    assert clean("family \U0001f468\u200d\U0001f469", 100) == "family \U0001f468\u200d\U0001f469"
    assert clean("x" * 10_000, 5) == "xxxx…"
