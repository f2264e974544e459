"""What becomes of a hosted scorer's answer: a verdict, a wait, or a reason that its author can act on."""

from pathlib import Path

import pytest

from schemas.subject import Subject
from scorers.hosted.channel import Answer, Died, Judged, Raised, TimedOut
from scorers.hosted.judge import Hosted, Refusing, verdict
from scorers.hosted.line import Done, Key
from scorers.hosted.pool import Pool
from scorers.providers.allowance import Allowance
from scorers.providers.caller import Trouble
from scorers.providers.ledger import Ledger
from scorers.scorer import Permanent, Transient, Verdict
from streams.runner_dir import runner_dir
from streams.settings import Settings

AWAY = Trouble("provider 'openai' answers 503: later", 7)
SPENT = Trouble("$1 of $1 a day are spent", 3600, is_budget=True)


def test_a_verdict_carries_its_share_of_the_cost() -> None:
    assert verdict(Done(Judged(0.5, "half"), 0.01, None)) == Verdict(0.5, reason="half", cost_usd=0.01)
    assert verdict(Done(Judged(None, label="rude"), 0.0, None)).reason == "it gave a label and no number"


def test_a_scorer_that_got_by_without_its_model_has_judged() -> None:
    assert verdict(Done(Judged(1.0), 0.0, AWAY)).value == 1.0


def test_a_scorer_that_raised_because_its_model_is_away_waits() -> None:
    with pytest.raises(Transient, match="answers 503") as waits:
        verdict(Done(Raised("InternalServerError: 503"), 0.0, AWAY))
    assert waits.value.retry_after_s == 7


def test_a_scorer_that_raised_because_the_budget_is_spent_is_skipped_with_what_was_spent() -> None:
    found = verdict(Done(Raised("RateLimitError: 429"), 0.0, SPENT))
    assert (found.skipped, found.reason) == (True, SPENT.reason)


@pytest.mark.parametrize(
    ("answer", "gateway", "reason"),
    [
        (Raised("KeyError: 'x'"), True, "KeyError: 'x'"),
        (Raised("KeyError: 'x'"), False, "KeyError: 'x'"),
        (
            Raised("APIConnectionError: Connection error."),
            False,
            "needs a sandbox tier with a gateway: APIConnectionError",
        ),
        (TimedOut(30), True, "no verdict within 30 s; spec.timeout"),
        (Died("exit 3"), True, "its sandbox ended: exit 3"),
        (Died("memory"), True, "VEDETTE_RUNNER_MEMORY_MIB"),
    ],
)
def test_a_fault_is_told_to_the_author_and_what_it_cost_is_kept(answer: Answer, gateway: bool, reason: str) -> None:
    with pytest.raises(Permanent) as fault:
        verdict(Done(answer, 0.02, None), gateway=gateway)
    assert reason in fault.value.reason
    assert fault.value.cost_usd == 0.02


async def test_a_scorer_of_traces_skips_an_example_and_tells_why() -> None:
    async def never(key: Key) -> None:
        raise AssertionError

    hosted = Hosted(Pool(never), Key("shop", "s", "1"), 30, kind="trace")  # type: ignore[arg-type]
    found = await hosted.judge(Subject(project="shop", kind="example", subject_id="1"))
    assert (found.skipped, found.reason.startswith("it judges traces, and this is one of the examples")) == (True, True)


async def test_where_no_sandbox_holds_every_evaluation_is_told_why() -> None:
    with pytest.raises(Permanent, match="install bubblewrap"):
        await Refusing("no sandbox tier holds here; install bubblewrap").judge(
            Subject(project="p", kind="example", subject_id="1")
        )


def test_what_was_spent_today_outlives_the_runner(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "spent.json")
    assert ledger.load() == {}
    ledger.keep({("shop", "openai"): Allowance(day=20_000, usd=1.5)})
    assert Ledger(ledger.file).load() == {("shop", "openai"): Allowance(day=20_000, usd=1.5)}


def test_a_folder_that_is_another_users_or_a_link_is_not_used(tmp_path: Path) -> None:
    assert runner_dir(Settings(runner_dir=tmp_path / "own")) == tmp_path / "own"
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.raises(RuntimeError, match="VEDETTE_RUNNER_DIR"):
        runner_dir(Settings(runner_dir=tmp_path / "link"))
