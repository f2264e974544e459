import errno
import struct

import pytest

from scorers.hosted.seccomp import ALLOW, ERRNO, KILL, MACHINES, Allowed, program

X86, ARM = MACHINES["x86_64"].audit, MACHINES["aarch64"].audit
PERM, ACCES, NOSYS = (ERRNO | number for number in (errno.EPERM, errno.EACCES, errno.ENOSYS))
CLONE_THREAD, CLONE_NEWUSER = 0x10000, 0x10000000


def verdict(code: bytes, audit: int, number: int, *arguments: int) -> int:
    """What the kernel's machine answers, step by step."""
    data = struct.pack("=IIQ6Q", number, audit, 0, *(arguments + (0,) * 6)[:6])
    steps = list(struct.iter_unpack("=HBBI", code))
    at, register = 0, 0
    while True:
        operation, if_true, if_false, operand = steps[at]
        at += 1
        match operation:
            case 0x20:
                (register,) = struct.unpack_from("=I", data, operand)
            case 0x06:
                return operand
            case _:
                tests = {
                    0x15: register == operand,
                    0x25: register > operand,
                    0x35: register >= operand,
                    0x45: bool(register & operand),
                }
                at += if_true if tests[operation] else if_false


STRICT, OPEN = (
    program(Allowed(sessions=False, signals=False, memory_files=False), "x86_64"),
    program(Allowed(network=True, fork=True), "x86_64"),
)


@pytest.mark.parametrize(
    ("number", "arguments", "strict", "open_"),
    [
        (0, (), ALLOW, ALLOW),  # read
        (101, (), PERM, PERM),  # ptrace
        (272, (), PERM, PERM),  # unshare
        (435, (), NOSYS, NOSYS),  # clone3
        (463, (), NOSYS, NOSYS),  # what comes later
        (57, (), PERM, ALLOW),  # fork
        (56, (CLONE_THREAD,), ALLOW, ALLOW),
        (56, (0x11,), PERM, ALLOW),
        (56, (CLONE_NEWUSER | 0x11,), PERM, PERM),
        (41, (2,), ACCES, ALLOW),  # socket(AF_INET)
        (41, (16,), ACCES, ACCES),  # socket(AF_NETLINK)
        (41, (40,), ACCES, ACCES),  # socket(AF_VSOCK)
        (53, (1,), ALLOW, ALLOW),  # socketpair(AF_UNIX)
        (53, (30,), ACCES, ACCES),  # socketpair(AF_TIPC)
        (62, (1, 9), PERM, ALLOW),  # kill
        (319, (), PERM, ALLOW),  # memfd_create
        (302, (0,), ALLOW, ALLOW),  # prlimit64 of oneself
        (302, (77,), PERM, PERM),
        (157, (1,), PERM, PERM),  # prctl(PR_SET_PDEATHSIG)
        (157, (15,), ALLOW, ALLOW),  # prctl(PR_SET_NAME)
        (16, (0, 0x5412), PERM, PERM),  # ioctl(TIOCSTI)
        (16, (0, 0x5401), ALLOW, ALLOW),
        (0x40000000, (), KILL, KILL),  # x32
    ],
)
def test_each_call_gets_its_verdict(number: int, arguments: tuple[int, ...], strict: int, open_: int) -> None:
    assert verdict(STRICT, X86, number, *arguments) == strict
    assert verdict(OPEN, X86, number, *arguments) == open_


def test_another_architecture_is_killed() -> None:
    assert verdict(STRICT, ARM, 0) == KILL
    assert verdict(STRICT, 0x40000003, 20) == KILL  # i386 getpid


def test_on_arm_the_numbers_are_those_of_arm() -> None:
    code = program(Allowed(), "aarch64")
    assert [verdict(code, ARM, number) for number in (63, 117, 97)] == [ALLOW, PERM, PERM]  # read, ptrace, unshare
    assert verdict(code, ARM, 198, 1) == ACCES
    assert verdict(code, ARM, 220, 0x11) == PERM


def test_a_machine_without_numbers_is_refused_by_name() -> None:
    with pytest.raises(LookupError, match="no system call numbers for 'riscv64'"):
        program(Allowed(), "riscv64")
