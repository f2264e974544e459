"""What judgeval is told of an experiment."""

from streams.api.judgeval.experiments import results

ASKED = '[{"scorer": "Polite"}, {"scorer": "Short"}]'
POLITE = ("e", "Polite", "id-1", 0.4, 0.5, "", "fail", "curt")
SHORT = ("e", "Short", "id-2", None, None, "", "error", "boom")


def test_an_example_is_told_when_every_scorer_has_said_something() -> None:
    examples = [("e", '{"input":"a"}', ASKED, "[]")]
    assert results(examples, [POLITE]) == []
    (told,) = results(examples, [POLITE, SHORT])
    assert (told["example_id"], told["data"]) == ("e", {"input": "a"})
    polite, short = told["scorers"]
    assert (polite["score"], polite["success"], polite["reason"], polite["error"]) == (0.4, False, "curt", None)
    assert (short["score"], short["success"], short["reason"], short["error"]) == (None, False, "", "boom")


def test_verdicts_made_elsewhere_are_waited_for_like_others() -> None:
    examples = [("e", "{}", "[]", '[{"scorer": "Polite"}]')]
    assert results(examples, []) == []
    assert len(results(examples, [POLITE])) == 1


def test_a_score_without_a_threshold_is_no_failure() -> None:
    (told,) = results([("e", "{}", "[]", "[]")], [("e", "s", "id", 0.1, None, "", "scored", "")])
    assert (told["scorers"][0]["success"], told["scorers"][0]["threshold"]) == (True, 0.0)
