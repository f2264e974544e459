import orjson

from schemas.codec import Schemas
from schemas.example import Example, GivenVerdict, ScorerRef
from streams.bridge.examples import Examples
from streams.bridge.limits import Limits
from streams.bridge.uuid7 import uuid7
from streams.logic.configuration import Configuration

EXAMPLES = Examples(Configuration(), Limits(), lambda: 1_645_557_742_000, lambda size: b"\1" * size)


def test_an_example_becomes_a_record_with_its_scorers_and_masked_texts() -> None:
    sent = {
        "fields": {"request": "sk-" + "a" * 40},
        "scorers": ["A@v1", {"scorer": "B", "threshold": 0.5, "options": {"b": 1, "a": 2}}],
        "session_id": "s",
    }
    taken = EXAMPLES.take(orjson.dumps({"examples": [sent]}), "p", "")
    minted = uuid7(1_645_557_742_000, b"\1" * 10)
    scorers = (ScorerRef(scorer="A", version="v1"), ScorerRef(scorer="B", threshold=0.5, options='{"a":2,"b":1}'))
    ((key, value),) = taken.records
    example = Schemas().decode(Example, value)
    assert b"aaaa" not in example.fields
    assert example == Example(project="p", example_id=minted, fields=example.fields, scorers=scorers, session_id="s")
    assert key == orjson.dumps(["p", minted])
    assert orjson.loads(taken.answer) == {"accepted": 1, "ids": [minted], "rejected": [], "unknown_scorers": ["A", "B"]}


def test_what_is_wrong_is_told_by_index() -> None:
    sent = [{"fields": {}, "sampling_rate": 2}, {"fields": {}, "colour": 1}, {"fields": {}, "scorers": [" "]}, 5]
    told = orjson.loads(EXAMPLES.take(orjson.dumps({"examples": sent}), "p", "").answer)
    assert (told["accepted"], [each["index"] for each in told["rejected"]]) == (0, [0, 1, 2, 3])


def test_verdicts_made_elsewhere_come_with_the_example_of_an_experiment() -> None:
    verdict = {"scorer": "Length", "value": 0.2, "threshold": 0.5, "reason": "sk-" + "a" * 40}
    sent = {"fields": {}, "origin": "experiment", "run_id": "nightly-1", "verdicts": [verdict]}
    ((_, value),) = EXAMPLES.take(orjson.dumps({"examples": [sent]}), "p", "").records
    example = Schemas().decode(Example, value)
    (found,) = example.verdicts
    assert (example.origin, example.run_id) == ("experiment", "nightly-1")
    assert found == GivenVerdict(scorer="Length", value=0.2, threshold=0.5, reason=found.reason)
    assert "aaaa" not in found.reason


def test_a_run_of_what_is_online_and_a_verdict_without_a_scorer_are_refused() -> None:
    sent = [{"fields": {}, "run_id": "r"}, {"fields": {}, "verdicts": [{"value": 1}]}]
    told = orjson.loads(EXAMPLES.take(orjson.dumps({"examples": sent}), "p", "").answer)
    assert [each["index"] for each in told["rejected"]] == [0, 1]
    assert 'send "origin": "experiment" too' in told["rejected"][0]["error"]
