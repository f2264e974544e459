from streams.local.logfiles import rotate, tail


def names(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_small_log_is_left_alone(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("12345")
    rotate(log, max_bytes=5)
    assert names(tmp_path) == {"a.log": "12345"}


def test_a_large_log_moves_on_and_the_oldest_is_dropped(tmp_path):
    log = tmp_path / "a.log"
    for text in ("first!", "second", "third!", "fourth"):
        log.write_text(text)
        rotate(log, max_bytes=5, kept=2)
    assert names(tmp_path) == {"a.log": "", "a.log.1": "fourth", "a.log.2": "third!"}


def test_a_process_goes_on_writing_at_the_start_of_the_emptied_log(tmp_path):
    log = tmp_path / "a.log"
    with log.open("a") as writer:
        writer.write("before")
        writer.flush()
        rotate(log, max_bytes=5)
        writer.write("after")
    assert names(tmp_path) == {"a.log": "after", "a.log.1": "before"}


def test_the_tail_of_a_log_is_its_end_and_of_no_log_nothing(tmp_path):
    (tmp_path / "a.log").write_text("0123456789")
    assert tail(tmp_path / "a.log", characters=3) == "789"
    assert tail(tmp_path / "b.log") == ""
