"""Takes the run's nodes, starts its program on each, copies what it says into the job's log, and leaves with its exit code.

Ray and the standard library only. Part of the driver's program: see the package; `parcel` and `kv` are the bootstrap's.
"""

import codecs
import json
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import ray  # pyright: ignore[reportMissingImports]

if TYPE_CHECKING:
    from tunegate.launchers.ray.onboard.node import Node

    parcel: dict[str, Any]
    kv: Any

FAILED_PEER_GRACE_S = 10.0
LOOK_S = 1.0


class Ended(Exception):
    """The run is over before its program has left; `word` is one of the plan's codes."""

    def __init__(self, word: str, said: str = "") -> None:
        super().__init__(said)
        self.word = word
        self.said = said


class Driver:
    """One run from the first word to the last."""

    def __init__(self, plan: "dict[str, Any]", files: "dict[str, str]") -> None:
        self._plan = plan
        self._files = files
        self._nodes: list[Any] = []
        self._asked = False
        self._heeded_at = 0.0
        self._stopping_at = float("inf")
        self._late = False
        signal.signal(signal.SIGTERM, self._on_stop)

    def run(self) -> int:
        """The exit code."""
        codes = self._plan["codes"]
        try:
            code = self._run()
            return code if code not in codes.values() else 1
        except Ended as end:
            say(end.said or end.word)
            return codes[end.word]
        except Exception as error:  # noqa: BLE001  whatever it is, the nodes are given back
            word = cause_of(error)
            say(str(error).strip() if word != "driver" else traceback.format_exc())
            return codes[word]
        finally:
            self._leave()

    def _run(self) -> int:
        group = self._take_nodes()
        self._start(group)
        codes = self._follow()
        failed = [code for code in codes if code]
        if self._late:
            raise Ended("deadline")
        if failed and failed[0] == 128 + signal.SIGKILL and not self._asked:
            if any(ray.get([node.killed_for_memory.remote() for node in self._nodes])):
                raise Ended("memory")
        return failed[0] if failed else 0

    def _take_nodes(self) -> Any:
        from ray.util.placement_group import placement_group  # pyright: ignore[reportMissingImports]

        plan = self._plan
        count = len(plan["bundles"])
        labels = {"bundle_label_selector": [plan["labels"]] * count} if plan["labels"] else {}
        strategy = "STRICT_SPREAD" if count > 1 else "STRICT_PACK"
        group = placement_group(plan["bundles"], strategy=strategy, name=plan["name"], **labels)
        say(f"asks Ray for {count} x {json.dumps(plan['bundles'][0])}")
        while not group.wait(LOOK_S):
            if self._asked:
                raise Ended("driver", "stopped while it waited")
        return group

    def _start(self, group: Any) -> None:
        from ray.util.scheduling_strategies import (  # pyright: ignore[reportMissingImports]
            PlacementGroupSchedulingStrategy,
        )

        actor = ray.remote(Node)
        for rank, bundle in enumerate(self._plan["bundles"]):
            rest = {k: v for k, v in bundle.items() if k not in ("CPU", "GPU", "memory")}
            options = actor.options(
                name=f"{self._plan['name']}-{rank}", num_cpus=bundle["CPU"], num_gpus=bundle.get("GPU", 0),
                memory=bundle.get("memory"), resources=rest, max_concurrency=4, max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
            )  # fmt: skip
            try:
                self._nodes.append(options.remote())
            except ValueError as error:  # the name is taken
                raise Ended("double", str(error)) from None
        address, port = ray.get(self._nodes[0].address.remote())
        count = len(self._nodes)
        starts: list[Any] = []
        for rank, node in enumerate(self._nodes):
            place = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": address, "MASTER_PORT": port}
            given = {k: str(v) for k, v in place.items()} if count > 1 else {}
            starts.append(node.start.remote(self._plan, self._files, given))
        refused = [said for said in ray.get(starts) if said]
        self._files = {}
        if refused:
            raise Ended("command", refused[0])

    def _follow(self) -> "list[int]":
        """Copy what the nodes say until all have ended; their exit codes, in the order of their ends."""
        reads = {node.read.remote(): Voice(node) for node in self._nodes}
        deadline = time.monotonic() + self._plan["deadline_s"]
        codes: list[int] = []
        while reads:
            ready, _ = ray.wait(list(reads), num_returns=1, timeout=LOOK_S)
            for ref in ready:
                voice = reads.pop(ref)
                chunk, code = ray.get(ref)
                voice.say(chunk, over=code is not None)
                if code is None:
                    reads[voice.node.read.remote()] = voice
                else:
                    codes.append(code)
                    if code and reads:
                        self._stop(FAILED_PEER_GRACE_S)
            if self._asked:
                self._heed()
            elif time.monotonic() > deadline and not self._late:
                self._late = True
                self._stop(self._plan["grace_s"])
        return codes

    def _stop(self, grace_s: float) -> None:
        """Once, and again where the wish has become more impatient."""
        kill_at = time.monotonic() + grace_s
        if kill_at < self._stopping_at - LOOK_S:
            self._stopping_at = kill_at
            for node in self._nodes:
                node.stop.remote(grace_s)

    def _on_stop(self, *_: object) -> None:
        self._asked = True

    def _heed(self) -> None:
        """The grace is what the gateway left with its wish, else the run's own. A later wish may be more impatient."""
        now = time.monotonic()
        if now < self._heeded_at + LOOK_S:
            return
        self._heeded_at = now
        note = kv._internal_kv_get(self._plan["stop_key"])
        self._stop(float(json.loads(note)["grace_s"]) if note else self._plan["grace_s"])

    def _leave(self) -> None:
        """Nothing stays on the nodes, nor in the head's memory."""
        try:
            ray.get([node.sweep.remote() for node in self._nodes], timeout=10)
        except Exception:  # noqa: BLE001  a node that is gone has nothing to give back; watchers end the rest
            say("not all of its nodes could be swept")
        kv._internal_kv_del(self._plan["stop_key"])
        ray.shutdown()


class Voice:
    """What one node says, as text that Ray can read back: bytes that are no UTF-8 would make the whole log unreadable."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def say(self, chunk: bytes, *, over: bool) -> None:
        sys.stdout.write(self._decoder.decode(chunk, final=over))
        sys.stdout.flush()


def say(text: str) -> None:
    """A line of the driver's own."""
    sys.stdout.write(f"[tunegate] {text}\n")
    sys.stdout.flush()


def cause_of(error: Exception) -> str:
    """The plan's word for an exception of Ray's."""
    words = str(error).lower()
    if type(error).__name__ == "OutOfMemoryError" or "low on memory" in words or "oom" in words:
        return "memory"
    if getattr(error, "preempted", False):
        return "preempted"
    return "lost" if isinstance(error, ray.exceptions.RayActorError) else "driver"


if __name__ == "__main__":
    sys.exit(Driver(parcel["plan"], parcel["files"]).run())  # pyright: ignore[reportUnboundVariable]
