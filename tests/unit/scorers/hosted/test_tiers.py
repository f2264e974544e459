"""Tiers that are configuration: what they would run."""

from pathlib import Path

import pytest

from scorers.hosted import places
from scorers.hosted.sandbox import WORKER, NoRoom
from scorers.hosted.start import Given
from scorers.hosted.tiers.gvisor import GVisor, container
from scorers.hosted.tiers.kubernetes import Kubernetes
from tests.support.rooms import Rooms

GIVEN = Given(("/usr/bin/python3", "worker.py", "7,9"), seccomp=3, info=4, rlimits={"nofile": 256, "core": 0})


def test_gvisor_runs_a_bundle_without_a_network_and_passes_the_channel(tmp_path: Path) -> None:
    argv = GVisor(platform="kvm").argv(GIVEN, tmp_path)
    assert argv[:1] == ("/bin/sh",)
    assert {
        "runsc",
        "--network=none",
        "--platform=kvm",
        "--pass-fd=7:7",
        "--pass-fd=9:9",
        f"--bundle={tmp_path}",
    } <= set(argv)


def test_a_program_that_is_no_worker_is_passed_no_descriptor(tmp_path: Path) -> None:
    given = Given(("/usr/bin/python3", "-c", "pass"), 3, 4, {})
    assert not [part for part in GVisor().argv(given, tmp_path) if part.startswith("--pass-fd")]


def test_a_container_sees_its_room_read_only_and_has_no_privilege(rooms: Rooms) -> None:
    room = rooms.scorer("return 1")
    host = places.on_host(room, WORKER)
    made = container(GIVEN, room, host, places.inside(host))
    process, mounts = made["process"], made["mounts"]
    assert made["root"] == {"path": "root", "readonly": True}
    assert isinstance(process, dict)
    assert isinstance(mounts, list)
    assert process["user"] == {"uid": 65534, "gid": 65534}
    assert process["noNewPrivileges"] is True
    assert not any(process["capabilities"].values())
    assert {"type": "RLIMIT_NOFILE", "soft": 256, "hard": 256} in process["rlimits"]
    bound = {mount["destination"]: mount["options"] for mount in mounts if mount["type"] == "bind"}
    assert {"/usr", "/sandbox/code", "/sandbox/inside", "/sandbox/shim"} <= set(bound)
    assert all("ro" in options for options in bound.values())


def test_gvisor_is_not_claimed_to_hold_where_it_is_absent() -> None:
    probe = GVisor(runtime="no-such-runsc").probe()
    assert (probe.holds, probe.why) == (False, "no-such-runsc is not installed (gvisor.dev)")


def test_a_pod_of_the_runner_is_restricted_and_in_its_runtime_class() -> None:
    pod = Kubernetes(runtime_class="kata").pod("kafka:9092")
    spec = pod["spec"]
    assert isinstance(spec, dict)
    (container_,) = spec["containers"]
    assert spec["runtimeClassName"] == "kata"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container_["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


async def test_a_pod_is_deployed_not_started(rooms: Rooms) -> None:
    assert not Kubernetes().probe().holds
    with pytest.raises(NoRoom, match="a pod is deployed, not started"):
        await Kubernetes().start(rooms.scorer("return 1"))
