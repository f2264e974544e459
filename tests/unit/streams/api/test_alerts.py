"""The fold over alert changes."""

from typing import Any

from schemas.alert import AlertChange
from streams.api import alerts
from streams.api.alerts import Alerts


def change(alert: str, number: int, state: Any = "firing", project: str = "p", at: int = 0) -> AlertChange:
    return AlertChange(
        project=project, rule="r", rule_version="v", alert_id=alert, change=number, state=state, kind="fired",
        fired_at=1, changed_at=at or number,
    )  # fmt: skip


def states(board: Alerts, *wanted: str) -> list[tuple[str, int, str]]:
    found = board.find({"p"}, wanted or ("firing", "acknowledged", "resolved"))
    return [(one["alert_id"], one["change"], one["state"]) for one in found]


def test_the_newest_change_counts_whatever_the_order_and_however_often() -> None:
    board = Alerts()
    for one in (change("a", 0), change("a", 2, "resolved"), change("a", 1), change("a", 2, "resolved"), change("b", 0)):
        board.take(one)
    assert states(board) == [("a", 2, "resolved"), ("b", 0, "firing")]
    assert states(board, "firing") == [("b", 0, "firing")]


def test_projects_do_not_see_each_other() -> None:
    board = Alerts()
    board.take(change("same", 0, project="p"))
    board.take(change("same", 5, project="q"))
    assert states(board) == [("same", 0, "firing")]
    assert board.projects() == {"p", "q"}


def test_open_alerts_all_stay_and_of_the_resolved_the_last_thousand() -> None:
    board = Alerts()
    board.take(change("open", 0))
    for number in range(alerts.RESOLVED_KEPT + 5):
        board.take(change(f"done-{number}", 1, "resolved", at=10 + number))
    found = states(board)
    assert len(found) == alerts.RESOLVED_KEPT + 1
    assert found[-1] == ("open", 0, "firing")
    assert found[-2] == ("done-5", 1, "resolved")
