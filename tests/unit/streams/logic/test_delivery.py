"""Who is told, when it is tried again, when we give up."""

import pytest

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec, EmailSpec, SlackSpec
from schemas.documents.rule import RuleSpec
from schemas.ids import partition_of
from sinks.testing import ACKNOWLEDGED, FIRED, RENOTIFIED, RESOLVED, RULE
from streams.logic import delivery as deliveries
from streams.logic import telling
from streams.logic.ledger import Ledger
from streams.logic.quiet import Quiet

NOW = 1_767_225_700_000
SLACK = SlackSpec.model_validate({"type": "slack", "token": {"env": "T"}, "channel": "#agents"})
MAIL = EmailSpec(type="email", to=("oncall@example.com", "lead@example.com"))
DESTINATIONS: dict[str, DestinationSpec] = {"oncall-slack": SLACK, "oncall-mail": MAIL}


def planned(change: AlertChange = FIRED, actions: list[object] | None = None) -> list[Delivery]:
    given = (
        RULE.model_dump(by_alias=True) if actions is None else {**RULE.model_dump(by_alias=True), "actions": actions}
    )
    spec = RuleSpec.model_validate(given)
    return deliveries.plan(change, spec, DESTINATIONS.get, NOW)


def test_each_destination_and_each_address_gets_an_entry_of_its_own() -> None:
    assert [(entry.destination, entry.recipient) for entry in planned()] == [
        ("oncall-slack", "#agents"),
        ("oncall-mail", "oncall@example.com"),
        ("oncall-mail", "lead@example.com"),
        ("email", "me@example.com"),
    ]
    assert planned()[0] == Delivery(
        project="default",
        destination="oncall-slack",
        alert_id=FIRED.alert_id,
        change=0,
        recipient="#agents",
        state="pending",
        rule=FIRED.rule,
        group_key=FIRED.group_key,
        due_at=NOW,
        planned_at=NOW,
        changed_at=NOW,
        alert=FIRED,
    )


def test_nobody_is_told_twice_and_a_dataset_and_an_unknown_destination_are_planned_too() -> None:
    actions = [
        {"email": ["a@x.org", "a@x.org"]},
        {"dataset": "kept"},
        {"notify": "gone"},
        {"email": ["a@x.org"]},
        {"notify": "gone"},
    ]
    entries = planned(actions=list(actions))
    targets = [(entry.destination, entry.recipient) for entry in entries]
    assert targets == [("email", "a@x.org"), ("dataset/kept", ""), ("gone", "")]
    assert [telling.dataset_of(entry) for entry in entries] == ["", "kept", ""]


def test_only_what_fires_or_resolves_adds_to_a_dataset() -> None:
    assert [telling.adds_nothing(change) for change in (FIRED, RENOTIFIED, RESOLVED)] == [None] * 3
    assert telling.adds_nothing(ACKNOWLEDGED) == "acknowledged adds nothing to a dataset"


def test_an_entry_stands_where_its_destination_stands() -> None:
    slack, mail, other, _ = planned()
    assert deliveries.key(slack) == (f'["default","oncall-slack","{FIRED.alert_id}",0,"#agents"]'.encode())
    assert deliveries.partition(slack, 12) == partition_of(b'["default","oncall-slack"]', 12)
    assert deliveries.partition(mail, 12) == deliveries.partition(other, 12)


def test_pauses_double_from_one_second_to_five_minutes_within_a_fifth() -> None:
    entry = planned()[0]
    for attempt in range(40):
        again = deliveries.retry(entry, "busy", None, NOW)
        pause = again.due_at - NOW
        middle = min(1000 * 2**attempt, 300_000)
        assert 0.8 * middle <= pause <= 1.2 * middle
        assert again == entry.model_copy(
            update={"attempts": attempt + 1, "reason": "busy", "due_at": again.due_at, "changed_at": NOW}
        )
        assert again == deliveries.retry(entry, "busy", None, NOW)
        entry = again


def test_pauses_of_different_entries_differ() -> None:
    assert len({deliveries.retry(entry, "busy", None, NOW).due_at for entry in planned()}) == 4


@pytest.mark.parametrize(("asked_s", "pause_ms"), [(30, 30_000), (9999, 3600_000)])
def test_a_destination_is_left_alone_as_long_as_it_asks_but_at_most_an_hour(asked_s: float, pause_ms: int) -> None:
    assert deliveries.retry(planned()[0], "slow down", asked_s, NOW).due_at == NOW + pause_ms


def test_after_a_day_an_entry_fails_with_its_last_reason() -> None:
    entry = planned()[0].model_copy(update={"attempts": 300})
    day = 24 * 3600_000
    assert deliveries.retry(entry, "busy", None, NOW + day - 1).state == "pending"
    assert deliveries.retry(entry, "busy", None, NOW + day) == entry.model_copy(
        update={
            "state": "failed",
            "attempts": 301,
            "reason": "given up after 24 h and 301 attempts; the last one: busy",
            "changed_at": NOW + day,
            "due_at": 0,
            "alert": None,
        }
    )


def test_a_clock_that_jumps_a_day_ahead_gives_nothing_up_and_one_that_comes_back_keeps_nobody_waiting() -> None:
    day = 24 * 3600_000
    ahead = deliveries.retry(planned()[0], "busy", None, NOW + day)
    assert (ahead.state, ahead.due_at > NOW + day) == ("pending", True)
    assert deliveries.wait_s(ahead, NOW) == 0
    assert 0 < deliveries.wait_s(ahead, NOW + day) < 2


def test_what_is_sent_keeps_its_reference_and_no_longer_its_alert() -> None:
    entry = planned()[0].model_copy(update={"attempts": 2, "reason": "busy"})
    assert deliveries.sent(entry, "C1,17.1", NOW + 5) == entry.model_copy(
        update={
            "state": "sent", "attempts": 3, "reason": "", "reference": "C1,17.1", "changed_at": NOW + 5, "due_at": 0, "alert": None
        }
    )  # fmt: skip


def test_fired_resolved_and_unanswered_renotifications_page_and_the_rest_edits() -> None:
    answered = RENOTIFIED.model_copy(update={"state": "acknowledged"})
    changes = (FIRED, RENOTIFIED, answered, ACKNOWLEDGED, RESOLVED)
    assert [telling.telling(change) for change in changes] == ["page", "page", "edit", "edit", "page"]


def not_told(change: AlertChange, spec: DestinationSpec, reference: str, *, untold: bool = False) -> str | None:
    (entry,) = planned(change, [{"notify": "oncall-slack"}])
    return telling.not_told(entry, spec, reference, untold=untold)


def test_an_edit_is_suppressed_where_nothing_can_be_edited() -> None:
    assert not_told(ACKNOWLEDGED, SLACK, "C1,17.1") is None
    assert not_told(ACKNOWLEDGED, SLACK, "") == "there is no earlier message to edit"
    reason = "acknowledged while acknowledged: mail is sent when an alert fires or resolves"
    assert not_told(ACKNOWLEDGED, MAIL, "<id>") == reason
    hook = SlackSpec.model_validate({"type": "slack", "webhook_url": {"env": "T"}})
    assert not_told(ACKNOWLEDGED, hook, "x") == "acknowledged while acknowledged: an incoming webhook edits no message"


def test_an_end_is_told_to_whoever_may_have_heard_of_the_beginning() -> None:
    assert not_told(RESOLVED, MAIL, "") is None
    assert not_told(RESOLVED, MAIL, "", untold=True) == "it resolved before anybody was told that it fired"


QUIET = Quiet("a silence", NOW + 60_000)


def test_what_is_kept_quiet_is_suppressed_and_told_when_the_quiet_ends() -> None:
    (entry,) = planned(FIRED, [{"notify": "oncall-slack"}])
    held = deliveries.held(entry, QUIET, NOW)
    assert (held.state, held.reason, held.due_at, deliveries.waits(held)) == (
        "suppressed",
        "a silence",
        QUIET.until,
        True,
    )
    assert deliveries.reviewed(held, FIRED, QUIET, NOW + 1) is None
    told = deliveries.reviewed(held, FIRED, None, NOW + 60_000)
    assert told is not None
    assert (told.state, told.kept_quiet, told.planned_at) == ("pending", "a silence", NOW + 60_000)
    other = deliveries.reviewed(held, FIRED, Quiet("outside the schedule"), NOW + 1)
    assert other is not None
    assert (other.state, other.reason) == ("suppressed", "outside the schedule")


def test_what_happened_meanwhile_is_told_by_its_own_entry_alone() -> None:
    (entry,) = planned(FIRED, [{"notify": "oncall-slack"}])
    held = deliveries.held(entry, QUIET, NOW)
    for change, kind in ((RENOTIFIED, "renotified"), (ACKNOWLEDGED, "acknowledged"), (RESOLVED, "resolved")):
        over = deliveries.reviewed(held, change, None, NOW + 1)
        assert over is not None
        assert (over.state, over.reason, deliveries.waits(over)) == (
            "suppressed",
            f"a silence; then the alert was {kind}",
            False,
        )
    assert deliveries.reviewed(held, None, QUIET, NOW + 1) is None  # its alert may not have been read yet
    forgotten = deliveries.reviewed(held, None, None, NOW + deliveries.FORGOTTEN_MS + 1)
    assert forgotten is not None
    assert forgotten.reason == "a silence; then its alert was over"


def test_a_fallback_gets_the_entry_that_it_would_have_anyway() -> None:
    (entry,) = planned(FIRED, [{"notify": "oncall-slack"}])
    instead = deliveries.instead(entry, "oncall-mail", MAIL, "Slack says token_revoked", NOW)
    own = planned(FIRED, [{"notify": "oncall-mail"}])
    assert [deliveries.key(one) for one in instead] == [deliveries.key(one) for one in own]
    assert {one.instead_of for one in instead} == {"oncall-slack failed: Slack says token_revoked"}


def test_a_later_change_waits_for_the_earlier_one_but_not_for_another_recipient() -> None:
    ledger = Ledger()
    actions: list[object] = [{"email": ["a@x.org", "b@x.org"]}]
    for entry in planned(FIRED, actions) + planned(RESOLVED, actions):
        ledger.apply(deliveries.key(entry), entry)
    place = ("default", "email")
    first = ledger.next(place)
    assert first is not None
    waiting = deliveries.retry(first, "busy", 3600, NOW)
    ledger.apply(deliveries.key(first), waiting)
    second = ledger.next(place)
    assert second is not None
    assert (second.change, second.recipient) == (0, "b@x.org")
    ledger.apply(deliveries.key(second), deliveries.sent(second, "<b0>", NOW))
    third = ledger.next(place)
    assert third is not None
    assert (third.change, third.recipient, ledger.reference(third)) == (RESOLVED.change, "b@x.org", "<b0>")
    ledger.apply(deliveries.key(third), deliveries.sent(third, "<b3>", NOW))
    assert ledger.next(place) == waiting


def test_terminal_entries_leave_after_a_fortnight_and_pending_ones_stay() -> None:
    ledger = Ledger()
    old, young, pending, _ = planned()
    ledger.apply(b"old", deliveries.sent(old, "x", NOW))
    ledger.apply(b"young", deliveries.failed(young, "x", NOW + 1))
    ledger.apply(b"pending", pending)
    assert ledger.expired(NOW + deliveries.FORGET_AFTER_MS + 1) == [b"old"]
    assert not deliveries.forgotten(NOW, NOW + deliveries.FORGET_AFTER_MS - 1)
    assert deliveries.forgotten(NOW, NOW + deliveries.FORGET_AFTER_MS)
