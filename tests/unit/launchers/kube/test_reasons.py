"""Why a run has no pods: in the words of controllers and of Kueue."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from support.kube.objects import Object
from support.kube.server import KubeApi
from tunegate.launchers.kube.client import KubeClient
from tunegate.launchers.kube.objects import Meta
from tunegate.launchers.kube.reasons import AGAIN_S, KUEUE, VISIBILITY, Reasons
from tunegate.launchers.kube.run_states import Workload
from tunegate.launchers.kube.settings import KubeSettings
from tunegate.sdk.testing.clock import FakeClock

HELD = Workload(native="Suspended", suspended=True, queue="team-a")
FREE = Workload(native="Created")
JOB = Meta(name="tg-a-1", uid="uid-1")
EVENTS = "/api/v1/namespaces/default/events"
Ask = Callable[[], Reasons]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[KubeApi]:
    async with KubeApi(tmp_path) as api:
        yield api


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def reasons(api: KubeApi, clock: FakeClock) -> AsyncIterator[Reasons]:
    client = KubeClient(KubeSettings(namespace="default", kubeconfig=str(api.kubeconfig)))
    yield Reasons(client, "default", "Job", clock)
    await client.close()


def event(number: int, message: str, *, uid: str = "uid-1", kind: str = "Warning") -> Object:
    return {
        "metadata": {"name": f"e{number}"},
        "involvedObject": {"kind": "Job", "name": "tg-a-1", "uid": uid},
        "type": kind,
        "reason": "FailedCreate",
        "message": message,
        "lastTimestamp": f"2030-01-01T00:00:{number:02d}Z",
    }


async def test_the_last_complaint_of_its_controller(api: KubeApi, reasons: Reasons) -> None:
    for one in (
        event(1, "old"),
        event(3, "exceeded quota:\n gpus, used 8, limited 8"),
        event(4, "Created pod", kind="Normal"),
        event(5, "of another", uid="uid-2"),
    ):
        api.objects.create(EVENTS, one)
    said = await reasons.of(JOB, FREE)
    assert said == "its pods can't be made: exceeded quota: gpus, used 8, limited 8"


async def test_nothing_is_made_up(reasons: Reasons) -> None:
    assert await reasons.of(JOB, FREE) is None


async def test_kueues_reason_and_place(api: KubeApi, reasons: Reasons) -> None:
    waits = {"type": "QuotaReserved", "status": "False", "message": "1 more GPU needed"}
    workload = {
        "metadata": {"name": "job-tg-a-1", "labels": {"kueue.x-k8s.io/job-uid": "uid-1"}},
        "status": {"conditions": [waits]},
    }
    api.objects.create(f"{KUEUE}/namespaces/default/workloads", workload)
    assert await reasons.of(JOB, HELD) == "it waits in the queue team-a: 1 more GPU needed"


async def test_its_place_in_the_queue(api: KubeApi, reasons: Reasons) -> None:
    items = [
        {"metadata": {"ownerReferences": [{"uid": f"uid-{n}"}]}, "positionInLocalQueue": 4 - n}
        for n in range(4)
    ]
    queue = {"metadata": {"name": "team-a"}, "pendingworkloads": {"items": items}}
    api.objects.create(f"{VISIBILITY}/namespaces/default/localqueues", queue)
    assert await reasons.of(JOB, HELD) == "it waits in the queue team-a at place 4"


async def test_a_cluster_without_kueue_or_rights_is_no_trouble(
    api: KubeApi, reasons: Reasons
) -> None:
    async def forbidden(_method: str, _path: str) -> int:
        return 403

    api.trouble = forbidden
    assert await reasons.of(JOB, HELD) is None


async def test_a_run_is_asked_about_now_and_then(
    api: KubeApi, reasons: Reasons, clock: FakeClock
) -> None:
    assert await reasons.of(JOB, FREE) is None
    api.objects.create(EVENTS, event(1, "a quota"))
    assert await reasons.of(JOB, FREE) is None
    await clock.advance(AGAIN_S)
    assert await reasons.of(JOB, FREE) == "its pods can't be made: a quota"
