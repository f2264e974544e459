"""A hostile bundle: each of its attacks tries to get out of, or to exhaust, the sandbox it runs in.

An attack returns whether it got through and what it saw. Each is bounded in number, size and time, so that it does no harm where
nothing stops it. It knows the host's victims from its example: a port, sockets, a file, a process.
"""

import contextlib
import ctypes
import errno
import gc
import inspect
import json
import mmap
import os
import pickle
import platform
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
INTEL = platform.machine() == "x86_64"
Example = dict[str, Any]
Told = dict[str, Any]


def told(through: object, saw: object) -> Told:
    return {"score": 1.0 if through else 0.0, "reason": str(saw)[:1500]}


def tried(action: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return action(*arguments)
    except BaseException as error:
        return f"{type(error).__name__}: {getattr(error, 'errno', '')}"


def listed(folder: str) -> int:
    return len(os.listdir(folder))


def read_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def appended(path: str) -> None:
    open(path, "ab").close()


def kind_of(fd: int) -> int:
    return os.fstat(fd).st_mode & 0o170000


def made_socket(family: int, kind: int) -> None:
    socket.socket(family, kind).close()


def system_call(intel: int, arm: int, *arguments: object) -> str:
    ctypes.set_errno(0)
    if LIBC.syscall(ctypes.c_long(intel if INTEL else arm), *arguments) >= 0:
        return "done"
    return errno.errorcode.get(ctypes.get_errno(), "?")


# --- more than its share -------------------------------------------------------------------------------------------


def fork_bomb(example: Example) -> Told:
    for children in range(200):
        try:
            child = os.fork()
        except OSError as error:
            return told(children >= 150, f"{children} children, then {error}")
        if child == 0:
            time.sleep(20)
            os._exit(0)
    return told(through=True, saw="200 children")


def daemon(example: Example) -> Told:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 64)
            time.sleep(40)
        os._exit(0)
    os.wait()
    return told(through=False, saw="a daemon stays behind: the host looks for it")


def threads(example: Example) -> Told:
    started = 0
    try:
        for started in range(300):
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    except RuntimeError as error:
        return told(through=False, saw=f"{started} threads, then {error}")
    return told(through=True, saw="300 threads")


def loop(example: Example) -> Told:
    while True:
        pass


def loop_without_signals(example: Example) -> Told:
    for number in range(1, 65):
        tried(signal.signal, number, signal.SIG_IGN)
    return loop(example)


def regex_bomb(example: Example) -> Told:
    return told(re.match(r"(a+)+$", "a" * 40 + "b"), "an end")


def sleep(example: Example) -> Told:
    time.sleep(60)
    return told(through=True, saw="slept for a minute")


def silence(example: Example) -> Told:
    """Tells the host nothing more, not even that an example began."""
    channel().send = lambda *frames: None
    return sleep(example)


def memory(example: Example) -> Told:
    held = bytearray(example["much"])
    held[::4096] = b"x" * len(held[::4096])
    return told(through=True, saw=f"{len(held) >> 20} MiB in one process")


def memory_of_children(example: Example) -> Told:
    share, (reading, writing) = example["much"] // 6, os.pipe()
    for _ in range(6):
        if isinstance(child := tried(os.fork), str):
            break
        if child == 0:
            held = bytearray(share)
            held[::4096] = b"x" * len(held[::4096])
            os.write(writing, b"1")
            time.sleep(2)
            os._exit(0)
    time.sleep(0.7)
    os.set_blocking(reading, False)
    children = len(got) if isinstance(got := tried(lambda: os.read(reading, 64)), bytes) else 0
    return told(children * share > example["much"] // 2, f"{children} children with {share >> 20} MiB each at once")


def memory_files(example: Example) -> Told:
    """Memory that no limit on addresses counts."""
    piece, files = b"x" * (8 << 20), 0
    try:
        for files in range(example["much"] // len(piece)):
            os.write(os.memfd_create(f"m{files}"), piece)
    except (OSError, MemoryError) as error:
        return told(through=False, saw=f"{files} files of 8 MiB, then {error}")
    return told(through=True, saw=f"{example['much'] >> 20} MiB in files of memory")


def shared_memory(example: Example) -> Told:
    """A segment that stays when its maker is gone."""
    private, create = 0, 0o1600
    result = system_call(29, 194, private, ctypes.c_size_t(1 << 20), create)
    return told(result == "done", result)


def disks(example: Example) -> Told:
    saw, total = {}, 0
    for folder in ("/tmp", "/dev/shm", "/", "/dev", "/run", "/var/tmp", "/sandbox", os.getcwd()):
        written = 0
        try:
            for number in range(12):
                with open(f"{folder}/vedette-attack-{os.getpid()}-{number}", "wb") as file:
                    written += file.write(b"x" * (8 << 20))
        except OSError as error:
            saw[folder] = f"{written >> 20} MiB, {errno.errorcode.get(error.errno or 0)}"
        else:
            saw[folder] = f"{written >> 20} MiB, no end"
        total += written
    return told(total > 64 << 20, saw)


def inodes(example: Example) -> Told:
    made = 0
    try:
        for made in range(200_000):
            os.close(os.open(f"/tmp/vedette-attack-{made}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        return told(through=False, saw=f"{made} files, then {error}")
    return told(through=True, saw="200,000 empty files")


def big_file(example: Example) -> Told:
    try:
        with open("/tmp/vedette-attack-big", "wb") as file:
            for _ in range(64):
                file.write(b"x" * (1 << 20))
                file.flush()
    except OSError as error:
        return told(through=False, saw=error)
    return told(through=True, saw="64 MiB in one file")


def descriptors(example: Example) -> Told:
    opened: list[int] = []
    try:
        while len(opened) < 5000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return told(through=False, saw=f"{len(opened)} descriptors, then {error}")
    return told(through=True, saw="5,000 descriptors")


# --- what it may not see -------------------------------------------------------------------------------------------


def shadow(example: Example) -> Told:
    read = tried(lambda: open("/etc/shadow").read(5))
    return told(read.startswith("root"), read)


def host_folders(example: Example) -> Told:
    saw = {path: tried(listed, path) for path in ("/root", "/home", "/etc", "/var", "/sys", "/boot")}
    return told(any(isinstance(count, int) and count > 3 for count in saw.values()), saw)


def other_scorer(example: Example) -> Told:
    read = tried(lambda: open(example["other"]).read())
    return told(example["secret"] in read, read)


def neighbour(example: Example) -> Told:
    read = tried(lambda: open(example["left"]).read())
    return told(example["secret"] in read, read)


def environment(example: Example) -> Told:
    secret, hits = example["secret"], [name for name, value in os.environ.items() if example["secret"] in value]
    for process in filter(str.isdigit, names if isinstance(names := tried(lambda: os.listdir("/proc")), list) else []):
        read = tried(read_bytes, f"/proc/{process}/environ")
        if isinstance(read, bytes) and secret.encode() in read:
            hits.append(process)
    return told(hits, hits or sorted(os.environ))


def inherited(example: Example) -> Told:
    """Descriptors beside input, output and the two pipes of the channel."""
    ours = {0, 1, 2, channel().reading, channel().writing}
    # What an event loop of the worker opened itself: an epoll and a socket pair with itself.
    kinds = {fd: tried(kind_of, fd) for fd in range(64) if fd not in ours}
    saw = {fd: oct(kind) for fd, kind in kinds.items() if isinstance(kind, int)}
    files = [fd for fd, kind in kinds.items() if kind in (0o100000, 0o040000, 0o060000, 0o020000, 0o010000)]
    sockets = [fd for fd, kind in kinds.items() if kind == 0o140000 and peer_outside(fd)]
    return told(files or sockets, saw)


def peer_outside(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as one:
        peer = struct.unpack("3i", one.getsockopt(socket.SOL_SOCKET, 17, 12))
    return bool(peer[0] != os.getpid())


def processes(example: Example) -> Told:
    def look() -> list[str]:
        seen = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                seen.append(open(f"/proc/{name}/cmdline").read()[:60])
        return seen

    saw = tried(look)
    return told(isinstance(saw, list) and len(saw) > 8, len(saw) if isinstance(saw, list) else saw)


def machine(example: Example) -> Told:
    saw = {"started by": tried(read_bytes, "/proc/cmdline"), "name": socket.gethostname()}
    return told(saw["name"] == example["host"] and isinstance(saw["started by"], bytes), saw)


# --- the network ---------------------------------------------------------------------------------------------------


def said(family: int, address: Any) -> Any:
    def ask() -> bytes:
        with socket.socket(family) as asking:
            asking.settimeout(1)
            asking.connect(address)
            return asking.recv(16)

    return tried(ask)


def loopback(example: Example) -> Told:
    answer = said(socket.AF_INET, ("127.0.0.1", example["port"]))
    return told(answer == b"VICTIM", answer)


def unix_socket(example: Example) -> Told:
    answer = said(socket.AF_UNIX, example["socket"])
    return told(answer == b"VICTIM", answer)


def abstract_socket(example: Example) -> Told:
    answer = said(socket.AF_UNIX, "\0" + example["abstract"])
    return told(answer == b"VICTIM", answer)


def routes(example: Example) -> Told:
    lines = tried(lambda: open("/proc/net/route").read().splitlines()[1:])
    names = tried(lambda: [name for _, name in socket.if_nameindex()])
    made = tried(lambda: socket.socket(socket.AF_INET).close())
    return told(
        isinstance(lines, list) and lines and made is None, f"routes {lines}, interfaces {names}, socket {made}"
    )


FAMILIES = {
    "netlink": (16, 3), "packet": (17, 3), "alg": (38, 5), "vsock": (40, 1), "xdp": (44, 3), "tipc": (30, 5), "can": (29, 3),
    "rds": (21, 5), "kcm": (41, 5), "smc": (43, 1), "bluetooth": (31, 3), "inet6": (10, 1),
}  # fmt: skip


def socket_families(example: Example) -> Told:
    left = {name: tried(made_socket, *kind) for name, kind in FAMILIES.items()}
    if example.get("door"):
        left.pop("inet6")
    made = [name for name, result in left.items() if result is None]
    return told(made, made or "none")


# --- other processes and the kernel --------------------------------------------------------------------------------


def trace_others(example: Example) -> Told:
    results = {
        pid: system_call(101, 117, 16, pid, 0, 0) for pid in (example["victim"], os.getppid(), 1) if pid != os.getpid()
    }
    buffer = ctypes.create_string_buffer(64)
    here = struct.pack("QQ", ctypes.addressof(buffer), 8)
    line = tried(lambda: open(f"/proc/{example['victim']}/maps").readline())
    start = int(line.split("-")[0], 16) if "-" in line else 0
    results["read"] = system_call(310, 270, example["victim"], here, 1, struct.pack("QQ", start, 8), 1, 0)
    return told("done" in results.values(), results)


def signals(example: Example) -> Told:
    saw = {pid: tried(os.kill, pid, 9) for pid in (example["victim"], os.getppid()) if pid != 0}
    return told(through=False, saw=f"{saw}: the host looks whether the victim lives")


def kill_all(example: Example) -> Told:
    saw = tried(os.kill, -1, 9)
    time.sleep(0.3)
    return told(through=False, saw=f"{saw}: the host looks whether the victim lives")


def limits_of_others(example: Example) -> Told:
    result = system_call(302, 261, example["victim"], 7, struct.pack("QQ", 0, 0), None)
    return told(result == "done", result)


def nested_namespace(example: Example) -> Told:
    results = {"unshare": system_call(272, 97, 0x10000000)}
    arguments = ctypes.create_string_buffer(struct.pack("=8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0))
    results["clone3"] = system_call(435, 435, arguments, ctypes.c_size_t(64))
    if LIBC.getpid() != os.getpid():
        os._exit(0)
    return told("done" in results.values(), results)


KERNEL_CALLS = {
    "bpf": (321, 280, 0, 0, 0), "perf_event_open": (298, 241, 0, 0, -1, -1, 0), "io_uring_setup": (425, 425, 1, 0),
    "userfaultfd": (323, 282, 0), "add_key": (248, 217, 0, 0, 0, 0, 0), "keyctl": (250, 219, 0, 0), "mount": (165, 40, 0, 0, 0, 0, 0),
    "fsopen": (430, 430, 0, 0), "open_tree": (428, 428, -1, 0, 0), "open_by_handle_at": (304, 265, -1, 0, 0),
    "kexec_load": (246, 104, 0, 0, 0, 0), "init_module": (175, 105, 0, 0, 0), "swapon": (167, 224, 0, 0), "personality": (135, 92, 0x40000),
    "chroot": (161, 51, 0), "setns": (308, 268, -1, 0), "pidfd_getfd": (438, 438, -1, 0, 0), "kcmp": (312, 272, 0, 0, 9, 0, 0),
    "memfd_secret": (447, 447, 0), "syslog": (103, 116, 3, 0, 0),
}  # fmt: skip


def kernel_calls(example: Example) -> Told:
    results = {name: system_call(*call) for name, call in KERNEL_CALLS.items()}
    reached = {name: result for name, result in results.items() if result not in ("EPERM", "ENOSYS", "EACCES")}
    return told(reached, f"{len(reached)} of {len(results)} reach the kernel: {reached}")


def foreign_calls(example: Example) -> Told:
    """A 32-bit system call, which a filter of 64-bit numbers would misread."""
    if not INTEL:
        return told(through=False, saw="this machine has none")
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    return told(result > 0, f"getpid() by int 0x80 = {result}")


def privileges(example: Example) -> Told:
    status = tried(lambda: open("/proc/self/status").read())
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    privileged = lines.get("NoNewPrivs", "1").strip() != "1" or int(lines.get("CapEff", "0"), 16)
    return told(
        privileged or LIBC.prctl(39, 0, 0, 0, 0) != 1,
        f"{lines.get('NoNewPrivs')} {lines.get('CapEff')}: the host looks, too",
    )


def outlive(example: Example) -> Told:
    """Asks not to be ended together with the host."""
    return told(LIBC.prctl(1, 0, 0, 0, 0) == 0, errno.errorcode.get(ctypes.get_errno()))


def tamper(example: Example) -> Told:
    main = sys.modules["__main__"].__file__ or ""
    paths = (
        __file__,
        main,
        sys.executable,
        os.path.dirname(__file__) + "/new.py",
        "/usr/bin/vedette-attack",
        "/etc/vedette-attack",
    )
    saw = {path: tried(appended, path) or "WRITABLE" for path in paths}
    return told("WRITABLE" in saw.values(), saw)


# --- lies over the channel -----------------------------------------------------------------------------------------


def channel() -> Any:
    return next(found for found in gc.get_objects() if type(found).__name__ == "Channel" and hasattr(found, "nonce"))


def frame(body: bytes) -> None:
    data = struct.pack(">I", len(body)) + body
    while data:
        data = data[os.write(channel().writing, data) :]


def answered(value: bytes, reason: bytes = b"forged") -> Told:
    """Writes an answer of one's own with the right nonce, then waits to be believed."""
    frame(b'{"n":"%s","a":0,"v":%s,"r":"%s","l":""}' % (channel().nonce.encode(), value, reason))
    time.sleep(30)
    return told(through=True, saw="still here")


def garbage(example: Example) -> Told:
    os.write(channel().writing, b"\xff" * 65536)
    return sleep(example)


def two_answers(example: Example) -> Told:
    body = json.dumps({"n": channel().nonce, "a": 0, "v": 0.123, "r": "", "l": ""}).encode()
    data = struct.pack(">I", len(body)) + body
    os.write(channel().writing, data + data)
    return sleep(example)


def other_answer(example: Example) -> Told:
    frame(json.dumps({"n": "0" * 16, "a": 0, "v": 1.0, "r": "", "l": ""}).encode())
    return sleep(example)


def unasked_example(example: Example) -> Told:
    frame(json.dumps({"n": channel().nonce, "s": 7}).encode())
    return sleep(example)


def beats(example: Example) -> Told:
    body = json.dumps({"n": channel().nonce, "b": 1}).encode()
    while True:
        frame(body)


def drip(example: Example) -> Told:
    os.write(channel().writing, struct.pack(">I", 60_000))
    while True:
        os.write(channel().writing, b" ")
        time.sleep(0.05)


def late(example: Example) -> Told:
    """Speaks when the batch is over, into the next one."""
    nonce = channel().nonce

    def speak() -> None:
        time.sleep(0.1)
        frame(json.dumps({"n": nonce, "a": 0, "v": 1.0, "r": "", "l": ""}).encode())

    threading.Thread(target=speak, daemon=True).start()
    return told(through=False, saw="a frame follows")


def pickled(example: Example) -> Told:
    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {example['marker']}",))

    frame(pickle.dumps(Command()))
    return sleep(example)


def stdout_flood(example: Example) -> Told:
    piece = b"A" * (1 << 20)
    for _ in range(64):
        os.write(1, piece)
        os.write(2, piece[: 1 << 16])
    return told(through=False, saw="64 MiB printed")


def big_reason() -> None:
    head = b'{"n":"%s","a":0,"v":1,"r":"' % channel().nonce.encode()
    os.write(channel().writing, struct.pack(">I", 50 << 20) + head)
    for _ in range(50):
        os.write(channel().writing, b"x" * (1 << 20))


def deep() -> None:
    frame(b"[" * 60_000)
    time.sleep(30)


class Chatty(float):
    def __repr__(self) -> str:
        return '1.0,"n":"x"'

    __str__ = __repr__


def stack_overflow(example: Example) -> Told:
    sys.setrecursionlimit(10**9)

    def again() -> Told:
        return again()

    return again()


RETURNED: dict[str, Callable[[Example], Any]] = {
    "nan": lambda _: answered(b"NaN"),
    "infinity": lambda _: answered(b"1e999"),
    "huge_number": lambda _: answered(b"1" + b"0" * 4200),
    "deep": lambda _: deep(),
    "big_reason": lambda _: big_reason(),
    "boolean": lambda _: answered(b"true"),
    "nothing": lambda _: answered(b"null"),
    "broken_text": lambda _: answered(b"1", b"\xff\xfe"),
    "hostile_number": lambda _: Chatty(1.0),
    "markup": lambda _: {"score": 0.5, "reason": "<img src=x onerror=alert(1)> <!channel> \r\nBcc: a@b"},
    "exit": lambda _: os._exit(0),
    "system_exit": lambda _: sys.exit(0),
    "abort": lambda _: os.abort(),
    "segfault": lambda _: ctypes.string_at(0),
}


class Hostile:
    """Runs the attack that its example names."""

    name = "hostile"

    def score_example(self, example: Any) -> Any:
        fields = dict(example.get_fields())
        attack = RETURNED.get(fields["attack"]) or next(
            function
            for name, function in globals().items()
            if name == fields["attack"] and inspect.isfunction(function)
        )
        return attack(fields)
