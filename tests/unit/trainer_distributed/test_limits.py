"""What is refused by name when a job runs in several processes."""

import pytest

from support.trainer_bench import Bench
from tunegate.sdk.errors import TunegateError
from tunegate.trainer.distributed.limits import check_served, is_sharded

NF4 = {"kind": "nf4"}
FULL = {"method": "full", "adapter": None}


def test_what_is_sharded(bench: Bench) -> None:
    lora, full = bench.spec("a"), bench.spec("b", **FULL)
    qlora = bench.spec("c", method="qlora", quantization=NF4)
    int8 = bench.spec("d", quantization={"kind": "int8"})
    assert [is_sharded(spec, 2) for spec in (lora, full, qlora, int8)] == [False, True, True, False]
    assert not is_sharded(full, 1)


@pytest.mark.parametrize("optimizer", ["muon", "adamw_8bit", "lion_8bit", "adafactor"])
def test_optimizers_that_need_whole_matrices(bench: Bench, optimizer: str) -> None:
    full = bench.spec("full", tuning={"optimizer": optimizer}, **FULL)
    with pytest.raises(TunegateError, match=optimizer) as caught:
        check_served(full, 2)
    assert caught.value.code == "config_invalid"
    check_served(full, 1)
    check_served(bench.spec("lora", tuning={"optimizer": optimizer}), 2)
