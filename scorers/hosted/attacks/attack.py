"""The attacks, as data."""

from dataclasses import dataclass
from enum import Enum


class Stopped(Enum):
    """How an attack shows that it was stopped."""

    NOT_TOLD = "it does not say that it got through"
    NO_SCORE = "it got no score at all"
    ENDED = "it was ended: timed out, died, or the code raised"


@dataclass(frozen=True)
class Attack:
    """One attack; its code is the function of that name in `hostile/scorer.py`."""

    name: str
    tries: str
    stopped: Stopped = Stopped.NOT_TOLD
    victim: bool = False
    """A process of the same uid stands beside the sandbox, and must live."""
    next_too: bool = False
    """A fresh sandbox must answer right after."""
    trap: bool = False
    """It leaves something in the sandbox for the next batch, which must not believe it."""
    quick: bool = False
    """Of the short list that a runner tries at its start."""
    contained: bool = False
    """Tried only in a tier with a pid namespace: elsewhere it would hit every process of the uid if nothing stopped it."""
    door: bool = False
    """Tried again in a room with a door, where sockets can be made."""


_ENDED, _NO_SCORE = Stopped.ENDED, Stopped.NO_SCORE

ATTACKS = (
    # more than its share
    Attack("fork_bomb", "200 processes", quick=True),
    Attack("daemon", "a process that outlives the sandbox", quick=True),
    Attack("threads", "300 threads", quick=True),
    Attack("loop", "runs for ever", _ENDED, next_too=True),
    Attack("loop_without_signals", "runs for ever and ignores every signal", _ENDED),
    Attack("regex_bomb", "keeps the interpreter in one C call", _ENDED),
    Attack("sleep", "waits for ever", _ENDED),
    Attack("silence", "waits for ever and never says that it began", _ENDED),
    Attack("memory", "three times its memory in one process", next_too=True, quick=True),
    Attack("memory_of_children", "three times its memory in six processes"),
    Attack("memory_files", "three times its memory in files of memory", quick=True),
    Attack("shared_memory", "a System V segment, which outlives its maker", quick=True),
    Attack("disks", "fills /tmp, /dev/shm, /, /dev, /run", quick=True),
    Attack("inodes", "200,000 empty files: memory of the kernel"),
    Attack("big_file", "one file of 64 MiB"),
    Attack("descriptors", "5,000 descriptors"),
    # what it may not see
    Attack("shadow", "reads /etc/shadow", quick=True),
    Attack("host_folders", "lists /root, /home, /etc, /var", quick=True),
    Attack("other_scorer", "reads another scorer's code", quick=True),
    Attack("neighbour", "reads what another one left in /tmp"),
    Attack("environment", "finds a secret in an environment, its own or another's", victim=True, quick=True),
    Attack("inherited", "finds a descriptor of the host", quick=True),
    Attack("processes", "sees the host's processes", quick=True),
    Attack("machine", "learns the host's name and how it was started"),
    # the network
    Attack("loopback", "connects to a port of the host", quick=True, door=True),
    Attack("unix_socket", "connects to a unix socket of the host", quick=True, door=True),
    Attack("abstract_socket", "connects to an abstract socket of the host", quick=True, door=True),
    Attack("routes", "finds a way to the metadata address"),
    Attack("socket_families", "makes netlink, vsock, packet, … sockets", quick=True, door=True),
    # other processes and the kernel
    Attack("trace_others", "ptrace, process_vm_readv of others", victim=True, quick=True),
    Attack("signals", "kills a process of its uid and its parent", victim=True, next_too=True, quick=True),
    Attack("kill_all", "kill(-1)", victim=True, next_too=True, contained=True),
    Attack("limits_of_others", "sets the limits of a process of its uid", victim=True),
    Attack("nested_namespace", "makes a user namespace of its own", quick=True),
    Attack("kernel_calls", "20 system calls with a bad history", quick=True),
    Attack("foreign_calls", "a 32-bit system call", quick=True),
    Attack("privileges", "holds capabilities, a host's uid, or may gain by setuid programs", quick=True),
    Attack("outlive", "asks not to be ended with the host", quick=True),
    Attack("tamper", "overwrites its code, the worker, the interpreter", quick=True),
    # lies over the channel
    Attack("garbage", "64 KiB of garbage", _NO_SCORE),
    Attack("two_answers", "answers twice, for the next one too", trap=True, next_too=True),
    Attack("other_answer", "answers another batch", _NO_SCORE),
    Attack("unasked_example", "begins an example that was not asked", _NO_SCORE),
    Attack("beats", "a flood of small frames", _NO_SCORE),
    Attack("drip", "one byte at a time", _NO_SCORE),
    Attack("late", "speaks into the next batch", trap=True, next_too=True),
    Attack("pickled", "a pickle that runs a command", _NO_SCORE, quick=True),
    Attack("nan", "a score that is no number", _NO_SCORE),
    Attack("infinity", "1e999", _NO_SCORE),
    Attack("huge_number", "a score of 4,200 digits", _NO_SCORE),
    Attack("deep", "60,000 nested lists", _NO_SCORE),
    Attack("big_reason", "a reason of 50 MiB", _NO_SCORE),
    Attack("boolean", "true as a score", _NO_SCORE),
    Attack("nothing", "null as a score", _NO_SCORE),
    Attack("broken_text", "a reason that is no UTF-8", _NO_SCORE),
    Attack("hostile_number", "a number whose text is JSON of its own"),
    Attack("markup", "markup in a reason"),
    Attack("stdout_flood", "prints 64 MiB", next_too=True),
    Attack("exit", "os._exit", _ENDED, next_too=True, quick=True),
    Attack("system_exit", "sys.exit", _ENDED),
    Attack("abort", "abort()", _ENDED),
    Attack("segfault", "reads address 0", _ENDED),
    Attack("stack_overflow", "endless recursion", _ENDED),
)
