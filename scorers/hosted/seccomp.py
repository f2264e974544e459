"""The system calls that a sandbox is refused, as a program for the kernel's filter (seccomp-bpf).

A list of refusals, not of permissions: authors' wheels use some 300 calls. Numbers beyond those known here are answered ENOSYS,
as by an older kernel. Foreign architectures (32-bit, x32) are killed. The machine code is that of Linux's
Documentation/userspace-api/seccomp_filter.rst; numbers come from asm/unistd_64.h and asm-generic/unistd.h.
"""

import errno
import platform
import struct
from dataclasses import dataclass

LOAD, EQUAL, GREATER, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""
NEWEST = 462
X32 = 0x40000000
NEW_NAMESPACES = 0x7E020080
"""Every CLONE_NEW* flag, CLONE_NEWTIME included."""
CLONE_THREAD = 0x00010000
UNIX, INET, INET6 = 1, 2, 10
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
PR_SET_PDEATHSIG = 1
PR_SET_PTRACER = 0x59616D61

_NEVER = """
ptrace 101 117|process_vm_readv 310 270|process_vm_writev 311 271|kcmp 312 272|pidfd_getfd 438 438|process_madvise 440 440
process_mrelease 448 448|bpf 321 280|perf_event_open 298 241|userfaultfd 323 282|io_uring_setup 425 425|io_uring_enter 426 426
io_uring_register 427 427|add_key 248 217|request_key 249 218|keyctl 250 219|mount 165 40|umount2 166 39|pivot_root 155 41
chroot 161 51|fsopen 430 430|fsconfig 431 431|fsmount 432 432|fspick 433 433|move_mount 429 429|open_tree 428 428
mount_setattr 442 442|statmount 457 457|listmount 458 458|unshare 272 97|setns 308 268|kexec_load 246 104|kexec_file_load 320 294
init_module 175 105|finit_module 313 273|delete_module 176 106|reboot 169 142|swapon 167 224|swapoff 168 225|acct 163 89
quotactl 179 60|quotactl_fd 443 443|syslog 103 116|settimeofday 164 170|clock_settime 227 112|adjtimex 159 171
clock_adjtime 305 266|open_by_handle_at 304 265|name_to_handle_at 303 264|personality 135 92|memfd_secret 447 447
lookup_dcookie 212 18|vmsplice 278 75|iopl 172 -|ioperm 173 -|modify_ldt 154 -|uselib 134 -|ustat 136 -|sysfs 139 -
_sysctl 156 -|sethostname 170 161|setdomainname 171 162|vhangup 153 58|nfsservctl 180 42|mbind 237 235|migrate_pages 256 238
move_pages 279 239|set_mempolicy 238 237|set_mempolicy_home_node 450 450|fanotify_init 300 262|fanotify_mark 301 263
mknod 133 -|mknodat 259 33|ioprio_set 251 30|shmget 29 194|shmat 30 196|msgget 68 186|semget 64 190|mq_open 240 180
"""
"""Name, number on x86_64, number on aarch64. The last line: memory and names that outlive a sandbox and that no rlimit counts."""
_FORK = "fork 57 -|vfork 58 -"
_LEAVE_GROUP = "setsid 112 157|setpgid 109 154"
_SIGNAL = "kill 62 129|tkill 200 130|tgkill 234 131|rt_sigqueueinfo 129 138|rt_tgsigqueueinfo 297 240|pidfd_send_signal 424 424"
_HIDDEN_MEMORY = "memfd_create 319 279"
_OF_OTHERS = "prlimit64 302 261|sched_setaffinity 203 122|sched_setattr 314 274|sched_setparam 142 118|sched_setscheduler 144 119"
"""The first argument names a process; 0 is the caller."""


@dataclass(frozen=True)
class Allowed:
    """What a tier leaves to a sandbox, because something else bounds it there."""

    network: bool = False
    """Sockets of the families unix and inet: a network namespace leads nowhere but to the door."""
    fork: bool = False
    """Processes, not threads alone: a cgroup counts them and their memory together."""
    sessions: bool = True
    """Process groups of its own: a pid namespace ends all of them."""
    signals: bool = True
    """A pid namespace or Landlock hides the others."""
    memory_files: bool = True
    """A cgroup counts them; RLIMIT_AS does not."""


@dataclass(frozen=True)
class Machine:
    audit: int
    column: int
    clone: int
    socket: int
    socketpair: int
    ioctl: int
    prctl: int
    setpriority: int


MACHINES = {
    "x86_64": Machine(0xC000003E, 0, clone=56, socket=41, socketpair=53, ioctl=16, prctl=157, setpriority=141),
    "aarch64": Machine(0xC00000B7, 1, clone=220, socket=198, socketpair=199, ioctl=29, prctl=167, setpriority=140),
}
CLONE3 = 435

Code = list[tuple[int, int, int, int]]
"""Instructions: operation, jump if true, jump if false, operand."""


def program(allowed: Allowed, machine: str = platform.machine()) -> bytes:
    """Returns the filter as an array of struct sock_filter.

    Raises:
        LookupError: the machine is neither x86_64 nor aarch64.

    """
    if machine not in MACHINES:
        raise LookupError(f"no system call numbers for {machine!r}: sandboxes run on {' and '.join(MACHINES)}")
    return b"".join(struct.pack("=HBBI", *step) for step in _code(allowed, MACHINES[machine]))


def _code(allowed: Allowed, on: Machine) -> Code:
    code: Code = [(LOAD, 0, 0, ARCHITECTURE), *_unless(EQUAL, on.audit, KILL), (LOAD, 0, 0, NUMBER)]
    if on.column == 0:
        code += _when(AT_LEAST, X32, KILL)
    code += _when(GREATER, NEWEST, _error(errno.ENOSYS)) + _when(EQUAL, CLONE3, _error(errno.ENOSYS))
    for number in _refused(allowed, on):
        code += _when(EQUAL, number, _error(errno.EPERM))
    for number, check in _checked(allowed, on):
        code += [(EQUAL, 0, len(check), number), *check]
    return [*code, _return(ALLOW)]


def _refused(allowed: Allowed, on: Machine) -> list[int]:
    table = _NEVER
    for left, calls in (
        (allowed.fork, _FORK),
        (allowed.sessions, _LEAVE_GROUP),
        (allowed.signals, _SIGNAL),
        (allowed.memory_files, _HIDDEN_MEMORY),
    ):
        table += "" if left else f"|{calls}"
    return _numbers(table, on)


def _numbers(table: str, on: Machine) -> list[int]:
    rows = (row.split() for row in table.replace("\n", "|").split("|") if row)
    return [int(row[1 + on.column]) for row in rows if row[1 + on.column] != "-"]


def _checked(allowed: Allowed, on: Machine) -> list[tuple[int, Code]]:
    """Calls that depend on an argument, each with the code that decides it to the end."""
    families = (UNIX, INET, INET6) if allowed.network else ()
    cloning = _when(ANY_BIT, NEW_NAMESPACES, _error(errno.EPERM))
    if not allowed.fork:
        cloning += _unless(ANY_BIT, CLONE_THREAD, _error(errno.EPERM))
    return [
        (on.clone, [_argument(0), *cloning, _return(ALLOW)]),
        (on.socket, _only(0, families, errno.EACCES)),
        (on.socketpair, _only(0, (UNIX,), errno.EACCES)),
        (on.ioctl, _all_but(1, (TIOCSTI, TIOCLINUX))),
        (on.prctl, _all_but(0, (PR_SET_PDEATHSIG, PR_SET_PTRACER))),
        (on.setpriority, _only(1, (0,), errno.EPERM)),
        *((number, _only(0, (0,), errno.EPERM)) for number in _numbers(_OF_OTHERS, on)),
    ]


def _only(index: int, values: tuple[int, ...], refusal: int) -> Code:
    code: Code = [_argument(index)]
    for value in values:
        code += _when(EQUAL, value, ALLOW)
    return [*code, _return(_error(refusal))]


def _all_but(index: int, values: tuple[int, ...]) -> Code:
    code: Code = [_argument(index)]
    for value in values:
        code += _when(EQUAL, value, _error(errno.EPERM))
    return [*code, _return(ALLOW)]


def _when(test: int, operand: int, verdict: int) -> Code:
    return [(test, 0, 1, operand), _return(verdict)]


def _unless(test: int, operand: int, verdict: int) -> Code:
    return [(test, 1, 0, operand), _return(verdict)]


def _argument(index: int) -> tuple[int, int, int, int]:
    """The low half: the kernel reads these arguments as 32-bit numbers."""
    return (LOAD, 0, 0, ARGUMENTS + 8 * index)


def _return(verdict: int) -> tuple[int, int, int, int]:
    return (RETURN, 0, 0, verdict)


def _error(number: int) -> int:
    return ERRNO | number
