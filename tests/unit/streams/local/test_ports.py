import socket

import pytest

from streams.local.ports import PortTakenError, free_port, is_free, kept_port, wanted_port


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_can_be_listened_on():
    assert is_free(free_port())


def test_a_taken_port_is_an_error_that_names_the_option(taken):
    with pytest.raises(PortTakenError, match=rf"^port {taken} on 127.0.0.1 is taken; .* --api-port"):
        wanted_port(taken, "--api-port")


def test_port_zero_means_any_free_one():
    assert wanted_port(0, "--api-port") > 0


def test_a_port_is_kept_for_the_next_start(tmp_path):
    file = tmp_path / "port"
    first = kept_port(file, 0, "--kafka-port")
    assert kept_port(file, 0, "--kafka-port") == first
    wanted = free_port()
    assert kept_port(file, wanted, "--kafka-port") == wanted
    assert kept_port(file, 0, "--kafka-port") == wanted


def test_a_kept_port_that_somebody_took_meanwhile_is_replaced(tmp_path, taken):
    file = tmp_path / "port"
    file.write_text(str(taken))
    chosen = kept_port(file, 0, "--kafka-port")
    assert chosen != taken
    assert file.read_text() == f"{chosen}\n"


def test_a_file_that_another_start_is_just_writing_keeps_no_port_yet(tmp_path):
    (tmp_path / "port").write_text("")
    assert kept_port(tmp_path / "port", 0, "--kafka-port") > 0
