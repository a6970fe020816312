"""Trackers hear the metrics and the end, one run across attempts, and never cost a job anything.

The libraries themselves are no dependency: where they are installed they are used for real, else left out.
"""

import json
import socket
import sqlite3
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from support.trainer_bench import Bench
from support.wandb_server import wandb_server
from tunegate.contract.attempt import FailedEvent, MetricsEvent, NoteEvent, SucceededEvent
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy, TrackerPlan, TrainerSecrets, TrainingSpec
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.trackers.address import check_address
from tunegate.trainer.trackers.following import Follower, Followers, follow
from tunegate.trainer.trackers.tracker import tracked_run

METRICS = [MetricsEvent(step=step, values={"loss": 3.0 - step}) for step in (1, 2)]
DONE = SucceededEvent(manifest_uri="x", manifest_sha256="x", detail="x")


def spec_of(*trackers: dict[str, Any], roots: tuple[str, ...] = ("/",)) -> TrainingSpec:
    plain = {
        "job_id": "job", "method": "lora", "model": {"name": "m"}, "datasets": [{"source": "x"}],
        "output": {"output_uri": "file:///out/job/", "trackers": list(trackers)},
        "storage": {"file_roots": list(roots)},
    }  # fmt: skip
    return msgspec.convert(plain, TrainingSpec)


def tell(followers: Followers, *events: Any) -> None:
    for event in events:
        followers.event(event)
    followers.wait()


class Recorder:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        self.heard.append((step, values))

    def finish(self, outcome: str) -> None:
        self.heard.append(outcome)


@pytest.mark.parametrize(
    ("end", "outcome"), [(DONE, "succeeded"), (FailedEvent(code="x", detail="x"), "failed")]
)
def test_metrics_and_the_end_are_passed_on(end: Any, outcome: str) -> None:
    recorder, notes = Recorder(), list[str]()
    followers = Followers([Follower("any", lambda: recorder, notes.append)])
    tell(followers, NoteEvent(text="no metrics"), *METRICS, end)
    assert recorder.heard == [(1, {"loss": 2.0}), (2, {"loss": 1.0}), outcome]
    assert notes == []


def test_one_that_breaks_is_left_out_and_its_words_are_not_repeated() -> None:
    notes: list[str] = []

    def start() -> Any:
        raise ConnectionError("https://server/?key=canary")

    fine = Recorder()
    followers = Followers(
        [Follower("broken", start, notes.append), Follower("fine", lambda: fine, notes.append)]
    )
    tell(followers, *METRICS, DONE)
    assert notes == ["broken gets no metrics any more (ConnectionError)"]
    assert fine.heard[-1] == "succeeded"


def test_one_that_hangs_costs_its_patience_alone() -> None:
    hang, notes = threading.Event(), list[str]()
    slow = SimpleNamespace(log=lambda *_: hang.wait(), finish=lambda _: None)
    followers = Followers([Follower("slow", lambda: slow, notes.append)])
    followers.event(METRICS[0])
    followers.wait(timeout_s=0.05)
    assert notes == ["slow did not take all metrics in time"]
    hang.set()


def test_a_tracker_that_is_not_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    output = {
        "output_uri": f"file://{bench.folder}/out/x/", "log_uri": f"file://{bench.folder}/logs/x/",
        "trackers": [{"kind": "trackio"}],
    }  # fmt: skip
    assert bench.run(bench.spec("x", output=output)) == 64
    assert "trackio is not installed" in bench.last("x")["detail"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://example.org/", "https"),
        ("https://127.0.0.1/", "loopback"),
        ("https://localhost:5000/", "loopback"),
        ("file:///etc/tracking", "outside"),
    ],
)
def test_addresses_that_the_operator_does_not_allow(address: str, words: str) -> None:
    with pytest.raises(TunegateError, match=words) as caught:
        check_address("mlflow", address, StoragePolicy(file_roots=["/data"]))
    assert caught.value.code == "config_invalid"


def test_the_run_is_the_jobs_and_not_the_attempts(tmp_path: Path) -> None:
    plan = TrackerPlan(kind="wandb")
    one, other = (tracked_run(spec_of(), plan, None, tmp_path / name) for name in "ab")
    assert one.key == other.key
    moved = msgspec.structs.replace(spec_of(), output=msgspec.structs.replace(spec_of().output, output_uri="file:///b/"))  # fmt: skip
    assert tracked_run(moved, plan, None, tmp_path).key != one.key


class FakeWandb(ModuleType):
    """The calls of W&B's documented interface that are used."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: list[tuple[str, Any]] = []
        self.Settings = lambda **fields: fields

    def init(self, **fields: Any) -> Any:
        self.calls.append(("init", fields))
        return SimpleNamespace(
            define_metric=lambda *a, **k: None,
            log=lambda values: self.calls.append(("log", values)),
            finish=lambda exit_code: self.calls.append(("finish", exit_code)),
        )


@pytest.mark.parametrize("key", [None, Secret("canary-key")])
def test_wandb_resumes_by_id_and_stays_offline_without_a_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: Secret | None
) -> None:
    from tunegate.trainer.trackers.wandb import WandbTracker

    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    run = tracked_run(spec_of(), TrackerPlan(kind="wandb", entity="team"), key, tmp_path)
    tracker = WandbTracker(run)
    tracker.log(3, {"loss": 1.0})
    tracker.finish("failed")
    init = fake.calls[0][1]
    assert (init["id"], init["entity"]) == (run.key, "team")
    assert init["mode"] == ("online" if key else "offline")
    assert init["settings"].get("api_key") == (key.reveal() if key else None)
    assert "canary" not in str(init["config"])
    assert fake.calls[1:] == [("log", {"step": 3, "loss": 1.0}), ("finish", 1)]


@pytest.mark.filterwarnings("ignore")
class TestInstalled:
    """With the real libraries, twice: the second attempt goes on with the run of the first."""

    def attempt(self, spec: TrainingSpec, folder: Path, *events: Any) -> None:
        notes: list[str] = []
        tell(follow(spec, TrainerSecrets(), folder, notes.append), *events)
        assert notes == []

    def test_mlflow(self, tmp_path: Path) -> None:
        mlflow = pytest.importorskip("mlflow")
        address = f"file://{tmp_path}/runs"
        spec = spec_of({"kind": "mlflow", "tracking_uri": address, "experiment": "colours"})
        self.attempt(spec, tmp_path, METRICS[0], FailedEvent(code="x", detail="x"))
        self.attempt(spec, tmp_path, METRICS[1], DONE)
        client = mlflow.tracking.MlflowClient(tracking_uri=address)
        place = client.get_experiment_by_name("colours").experiment_id
        [run] = client.search_runs([place])
        assert run.info.status == "FINISHED"
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
        assert run.data.params["job_id"] == "job"

    def test_wandb(self, tmp_path: Path) -> None:
        pytest.importorskip("wandb")
        self.attempt(spec_of({"kind": "wandb"}), tmp_path, *METRICS, DONE)
        [file] = (tmp_path / "wandb").rglob("*.wandb")
        assert b"loss" in file.read_bytes()

    def test_wandb_uploads_nothing_to_where_the_operator_lets_nobody(self, tmp_path: Path) -> None:
        """Its helper process gets the address from the tracker's server, which the job names."""
        pytest.importorskip("wandb")
        policy = {"allow_http": True, "allowed_networks": ["127.0.0.1/32"]}
        with socket.create_server(("127.0.0.2", 0)) as inside:
            inside.setblocking(False)
            with wandb_server(f"http://127.0.0.2:{inside.getsockname()[1]}/") as server:
                spec = spec_of({"kind": "wandb", "tracking_uri": server.url, "experiment": "p"})
                storage = msgspec.convert(policy, StoragePolicy)
                spec = msgspec.structs.replace(spec, storage=storage)
                secrets = TrainerSecrets(tracker_keys=[Secret("a" * 40)])
                notes: list[str] = []
                tell(follow(spec, secrets, tmp_path, notes.append), *METRICS, DONE)
            with pytest.raises(BlockingIOError):
                inside.accept()
        assert notes == []
        assert '\\"loss\\":1' in "".join(server.streamed)
        assert any("graphql" in asked for asked in server.asked)

    def test_trackio(self, tmp_path: Path) -> None:
        if (
            find_spec("trackio") is None
        ):  # it looks for its folder when it is imported, as the run does
            pytest.skip("trackio is not installed")
        spec = spec_of({"kind": "trackio", "experiment": "colours"})
        self.attempt(spec, tmp_path, METRICS[0], FailedEvent(code="x", detail="x"))
        self.attempt(spec, tmp_path, METRICS[1], DONE)
        [database] = (tmp_path / "trackio").rglob("colours*.db")
        with sqlite3.connect(database) as opened:
            rows = opened.execute("select run_name, step, metrics from metrics").fetchall()
        assert len({name for name, *_ in rows}) == 1
        losses = [(step, json.loads(values)["loss"]) for _, step, values in rows]
        assert sorted(losses) == [(1, 2.0), (2, 1.0)]
