"""Builds the wall from within, then becomes the program: `python -I -S -B confine.py SPEC`, SPEC being JSON.

It waits at the gate for a line on stdin, so that nothing happens before the host has counted it, then either makes namespaces and
a root of its own, or has Landlock refuse every path but a few; last comes the filter of system calls. It runs as the sandbox's uid and
trusts the host alone: nothing of a bundle has run yet. (namespaces(7), landlock(7), mount_setattr(2), pivot_root(2))
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)

CLONE_NEW = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000
"""User, mount, pid, net, ipc, uts, cgroup."""
CLONE_PARENT, CLONE = 0x00008000, {"x86_64": 56, "aarch64": 220}
NOBODY = 65534
NEW_ROOT = "/tmp"  # any folder that is there; a memory file system covers it
DEVICES = ("null", "zero", "full", "random", "urandom")

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SIGKILL, SIGCHLD = 9, 17
MOUNT_SETATTR, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 442, 444, 445, 446
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK, TRUNCATE, IOCTL = 1 << 6, 1 << 11, 1 << 14, 1 << 15
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights about files an ABI knows; 16 since the fifth."""
NET_RIGHTS, SCOPES = 3, 3
"""Binding and connecting TCP; abstract sockets and signals."""


def checked(result: int, what: str) -> int:
    """Returns what a call returned, or ends with its name and reason."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def call(number: int, what: str, *arguments: object) -> int:
    return checked(LIBC.syscall(ctypes.c_long(number), *arguments), what)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    names = [text.encode() or None for text in (source, target, kind)]
    checked(LIBC.mount(*names, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def seal(path: str, flags: int, *, recursive: bool = True) -> None:
    """Sets flags on a mount and, if told, on all that is mounted below it."""
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    where = AT_RECURSIVE if recursive else 0
    call(MOUNT_SETATTR, f"seal {path}", AT_FDCWD, path.encode(), where, attributes, ctypes.c_size_t(len(attributes)))


def namespaces(spec: dict[str, Any]) -> None:
    """Makes the namespaces; returns in their first process, and ends in this one."""
    uid, gid = os.geteuid(), os.getegid()
    checked(LIBC.unshare(CLONE_NEW), "unshare")
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{NOBODY} {uid} 1")
    write("/proc/self/gid_map", f"{NOBODY} {gid} 1")
    die_with_parent()
    if child := sibling():
        os.write(spec["info"], json.dumps({"child-pid": child}).encode())
        os._exit(0)
    if spec["loopback"]:
        loopback_up()
    checked(LIBC.sethostname(b"sandbox", ctypes.c_size_t(7)), "name")
    root(spec)


def sibling() -> int:
    """Forks a child of the host's process, so that none of ours waits beside every sandbox: its pid here, 0 in it."""
    return call(CLONE[os.uname().machine], "clone", CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)


def root(spec: dict[str, Any]) -> None:
    """A root in memory with what the spec names, read-only, in the place of the host's."""
    sources = [(os.open(source, os.O_PATH), target, writable) for source, target, writable in spec["binds"]]
    devices = [(os.open(f"/dev/{name}", os.O_PATH), name) for name in DEVICES]
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=256,mode=755")
    for target, path in spec["links"]:
        os.symlink(target, NEW_ROOT + path)
    for fd, target, writable in sources:
        bind(fd, NEW_ROOT + target)
        seal(NEW_ROOT + target, MS_NOSUID | MS_NODEV | (0 if writable else MS_RDONLY))
    for name in ("proc", "dev", "tmp"):
        os.mkdir(f"{NEW_ROOT}/{name}")
    for fd, name in devices:
        bind(fd, f"{NEW_ROOT}/dev/{name}")
    os.mkdir(f"{NEW_ROOT}/dev/shm")
    mount("proc", f"{NEW_ROOT}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid")
    for path, options in (("/dev/shm", "size=1m,nr_inodes=64"), ("/tmp", spec["tmp"])):
        mount("tmpfs", NEW_ROOT + path, "tmpfs", MS_NOSUID | MS_NODEV, f"{options},mode=1777")
    os.chdir(NEW_ROOT)
    call(PIVOT_ROOT[os.uname().machine], "pivot_root", b".", b".")
    checked(LIBC.umount2(b".", MNT_DETACH), "leave the old root")
    os.chdir("/")
    seal("/", MS_RDONLY, recursive=False)


def bind(fd: int, target: str) -> None:
    folder = stat.S_ISDIR(os.fstat(fd).st_mode)
    os.makedirs(target if folder else os.path.dirname(target), exist_ok=True)
    if not folder:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
    mount(f"/proc/self/fd/{fd}", target, "", MS_BIND | MS_REC)
    os.close(fd)


def loopback_up() -> None:
    fd = checked(LIBC.socket(2, 2, 0), "a socket")
    asked = fcntl.ioctl(fd, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
    (flags,) = struct.unpack("16xh14x", asked)
    fcntl.ioctl(fd, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    os.close(fd)


def landlock(spec: dict[str, Any]) -> None:
    """Has the kernel refuse every path but those of the spec, TCP, and signals and abstract sockets out of here."""
    die_with_parent()
    os.setpgid(0, 0)
    os.chdir("/")
    no_new_privileges()
    abi = call(LANDLOCK_CREATE, "Landlock", None, ctypes.c_size_t(0), 1)
    rights = (1 << FS_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("=QQQ", rights, NET_RIGHTS if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = call(LANDLOCK_CREATE, "a ruleset", attributes, ctypes.c_size_t(size), 0)
    for path, writable in spec["paths"]:
        wanted = rights & ~(MAKE_CHAR | MAKE_BLOCK) if writable else EXECUTE | READ_FILE | READ_DIR
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allow = struct.pack("=Qi", wanted if os.path.isdir(path) else wanted & FILE_RIGHTS & rights, fd)
        call(LANDLOCK_ADD, f"allow {path}", rules, 1, allow, 0)
        os.close(fd)
    call(LANDLOCK_RESTRICT, "Landlock", rules, 0)
    os.close(rules)


def die_with_parent() -> None:
    checked(LIBC.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "die with the parent")


def no_new_privileges() -> None:
    """No program gives more than this process has, and this one gives up what its namespace gave it."""
    for capability in range(64):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def filter_calls(fd: int) -> None:
    program = os.read(fd, 1 << 16)
    os.close(fd)
    steps = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = (("count", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    loaded = Filter(len(program) // 8, ctypes.addressof(steps))
    checked(LIBC.prctl(PR_SET_SECCOMP, 2, ctypes.byref(loaded), 0, 0), "the filter of system calls")


def write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, text.encode())
    os.close(fd)


def main(spec: dict[str, Any]) -> None:
    os.read(0, 1)
    for number, value in spec["rlimits"]:
        resource.setrlimit(number, (value, value))
    if spec["namespaces"]:
        namespaces(spec)
        die_with_parent()
        os.setsid()
    else:
        landlock(spec)
    os.close(spec["info"])
    no_new_privileges()
    filter_calls(spec["seccomp"])
    os.execve(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (OSError, ValueError) as error:
        sys.exit(f"confine: {error}")
