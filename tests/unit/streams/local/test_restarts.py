from streams.local import restarts
from streams.local.restarts import Life, State


def test_a_process_that_crashes_again_and_again_waits_twice_as_long_each_time_up_to_thirty_seconds():
    life, waits = Life(), []
    for _ in range(9):
        life = restarts.ended(restarts.spawned(life, pid=1), exit_status=1, now=100.0)
        waits.append(life.due - 100.0)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_after_a_healthy_minute_the_delay_begins_anew():
    tired = Life(failures=6)
    up = restarts.became_ready(restarts.spawned(tired, pid=1), now=1000.0)
    assert restarts.ended(up, exit_status=1, now=1060.0).due == 1060.5
    assert restarts.ended(up, exit_status=1, now=1059.9).due == 1059.9 + 30.0


def test_a_minute_of_never_answering_is_not_health():
    life = restarts.ended(restarts.spawned(Life(failures=3), pid=1), exit_status=1, now=1000.0)
    assert life.failures == 4


def test_the_life_of_a_process_from_start_over_a_crash_to_its_stop():
    first = restarts.spawned(Life(), pid=7)
    assert first == Life(State.STARTING, pid=7)
    up = restarts.became_ready(first, now=10.0)
    assert up == Life(State.RUNNING, pid=7, ready_at=10.0)
    down = restarts.ended(up, exit_status=-9, now=20.0)
    assert down == Life(State.RESTARTING, failures=1, due=20.5, exit_status=-9)
    again = restarts.spawned(down, pid=8)
    assert again == Life(State.RESTARTING, pid=8, restarts=1, failures=1, due=20.5, exit_status=-9)
    recovered = restarts.became_ready(again, now=21.0)
    assert (recovered.state, recovered.pid, recovered.restarts) == (State.RUNNING, 8, 1)
    gone = restarts.stopped(recovered)
    assert (gone.state, gone.pid, gone.restarts) == (State.STOPPED, None, 1)


def test_the_delay_stays_finite_after_any_number_of_failures():
    assert restarts.delay(10**6) == 30.0
