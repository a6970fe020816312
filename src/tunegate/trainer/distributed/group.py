"""`Group`: several processes, over torch.distributed. Small things go over gloo on the CPU, gradients over NCCL on GPUs."""

import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.peers import Peers
from tunegate.trainer.distributed.place import Place
from tunegate.trainer.distributed.ranks import Ranks
from tunegate.trainer.stop import StopFlag, StopReason

T = TypeVar("T")
LONGEST_S = 600.0
"""For one collective: ranks come to it at nearly the same time, as what takes long is waited for elsewhere."""
LOOK_S = 0.05
BUCKET = 2**24
"""Numbers that go into one collective (64 MB)."""
REASONS: tuple[StopReason, ...] = get_args(StopReason)
STRONGEST = "superseded"


class Group(Ranks):
    """Made by `Team.join`, in which all ranks take part."""

    def __init__(self, place: Place, store: dist.Store, peers: Peers, *, sharded: bool) -> None:
        self.place = place
        self.sharded = sharded
        self._store = store
        self._peers = peers
        kind = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            kind, store=dist.PrefixStore("group", store), rank=place.rank, world_size=place.world,
            timeout=timedelta(seconds=LONGEST_S),
        )  # fmt: skip

    def check(self, stop: StopFlag) -> None:
        code = 0 if stop.reason is None else REASONS.index(stop.reason) + 1
        code = len(REASONS) + 1 if stop.reason == STRONGEST else code
        found = torch.tensor([code])
        dist.all_reduce(found, dist.ReduceOp.MAX)
        if (strongest := int(found.item())) > 0:
            reason = STRONGEST if strongest > len(REASONS) else REASONS[strongest - 1]
            if stop.reason != reason:
                stop.request(reason)
            stop.check()

    def check_between(self, stop: StopFlag) -> None:
        """The next `check` will."""

    def rendezvous(self, name: str, stop: StopFlag) -> None:
        self._store.set(f"{name}/{self.place.rank}", "here")
        for rank in range(self.place.world):
            self._await(f"{name}/{rank}", stop)

    def on_node(self, name: str, value: T | None, stop: StopFlag) -> T:
        key = f"{name}/node-{self.place.node}"
        if self.place.is_node_main:
            self._store.set(key, pickle.dumps(value).hex())
        self._await(key, stop)
        content = bytes.fromhex(self._store.get(key).decode())
        return pickle.loads(content)  # noqa: S301 (from the job's own processes)

    def broadcast(self, value: T) -> T:
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: T) -> list[T]:
        # Not all_gather_object, which would take the bytes through the GPU where there is one.
        content = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        size = torch.tensor([len(content)])
        sizes = [torch.zeros_like(size) for _ in range(self.place.world)]
        dist.all_gather(sizes, size)
        longest = int(max(size.item() for size in sizes))
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(content)] = content
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return [
            pickle.loads(part[: int(size)].numpy().tobytes())  # noqa: S301 (as above)
            for part, size in zip(parts, sizes, strict=True)
        ]

    def total(self, numbers: Sequence[int]) -> list[int]:
        found = torch.tensor(list(numbers))
        dist.all_reduce(found)
        return found.tolist()

    def add_up(self, array: Any) -> None:
        dist.all_reduce(torch.from_numpy(array))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for bucket in _buckets(p for p in parameters if not is_sharded(p)):
            device = bucket[0].device
            there = torch.tensor([float(p.grad is not None) for p in bucket], device=device)
            parts = [
                p.new_zeros(p.numel(), dtype=torch.float32) if p.grad is None
                else p.grad.reshape(-1).float() for p in bucket
            ]  # fmt: skip
            flat = torch.cat([there, *parts])
            dist.all_reduce(flat)
            sums = flat[len(bucket) :].split([p.numel() for p in bucket])
            for parameter, total, holders in zip(
                bucket, sums, flat[: len(bucket)].tolist(), strict=True
            ):
                if holders:
                    parameter.grad = total.view_as(parameter).to(parameter.dtype)

    def align(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            if not is_sharded(parameter):
                dist.broadcast(parameter.data, src=0)

    def spread(self, tensors: Mapping[str, Tensor] | None) -> Iterator[tuple[str, Tensor]]:
        tensors = tensors if tensors is not None and self.is_main else {}
        for name, shape, dtype in self.broadcast(
            [(n, t.shape, t.dtype) for n, t in tensors.items()]
        ):
            tensor = tensors[name] if self.is_main else torch.empty(shape, dtype=dtype)
            # As bytes: not every dtype that an optimizer keeps is one that gloo knows.
            content = tensor.contiguous().reshape(-1).view(torch.uint8).clone()
            if len(content):
                dist.broadcast(content, src=0)
            yield name, content.view(dtype).view(shape)

    def close(self) -> None:
        dist.destroy_process_group()

    def _await(self, key: str, stop: StopFlag) -> None:
        """Until somebody has set the key."""
        while not self._store.check([key]):
            if self._peers.failure is not None:
                raise self._peers.failure
            stop.check()
            time.sleep(LOOK_S)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds only a part of it."""
    return hasattr(tensor, "full_tensor")


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """In order, a bounded number of numbers at a time."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and size + parameter.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket


def lost(error: BaseException) -> TunegateError:
    """What a collective that broke means when nobody said why."""
    return TunegateError("rank_lost", f"the processes lost each other ({type(error).__name__})")
