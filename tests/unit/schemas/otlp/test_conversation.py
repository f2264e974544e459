import pytest

from schemas.otlp.conversation import answered, asked
from schemas.otlp.raw import Value


def test_the_assistants_messages_at_the_end_are_the_answer_and_those_in_between_are_not() -> None:
    told: Value = [
        {"event.name": "gen_ai.user.message", "role": "user", "content": "a"},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "b"},
        {"event.name": "gen_ai.tool.message", "role": "tool", "content": "c"},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "d"},
        {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "e"}},
    ]
    assert asked(told) == (
        '[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"tool","content":"c"}]'
    )
    assert answered(told) == (
        '[{"role":"assistant","content":"d"},{"index":0,"message":{"role":"assistant","content":"e"}}]'
    )


def test_a_conversation_may_lack_a_side() -> None:
    question, answer = (
        '[{"event.name":"gen_ai.user.message","role":"user"}]',
        '[{"event.name":"gen_ai.choice","index":0}]',
    )
    assert (asked(question), answered(question)) == ('[{"role":"user"}]', None)
    assert (asked(answer), answered(answer)) == (None, '[{"index":0}]')


@pytest.mark.parametrize("value", ["", "[", "{}", "3", '["a"]', None, 3, {"a": 1}])
def test_what_holds_no_messages_has_neither_side(value: Value) -> None:
    assert (asked(value), answered(value)) == (None, None)
