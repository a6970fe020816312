"""Optimizers: each learns, takes up its state exactly, and steps every parameter as it should."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from torch import nn

from tunegate.contract.request import Optimizer
from tunegate.contract.training import TuningPlan
from tunegate.trainer.device import Device
from tunegate.trainer.muon import Muon, hidden_matrices
from tunegate.trainer.optimizer import flatten, make_optimizer, restore, set_learning_rate

CPU = Device(torch.device("cpu"))
RATES = {"sgd": 0.5, "lion_8bit": 1e-3}
EIGHT_BITS = {"adamw_8bit", "paged_adamw_8bit", "lion_8bit"}


def llama() -> Any:
    """Its matrices have 4096 numbers and more: smaller ones bitsandbytes would keep in 32 bits."""
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    return tf.LlamaForCausalLM(config)


def plan(name: Optimizer, **fields: Any) -> TuningPlan:
    return TuningPlan(optimizer=name, learning_rate=RATES.get(name, 1e-2), **fields)


def train(model: Any, optimizer: Any, tuning: TuningPlan, steps: range) -> list[float]:
    losses: list[float] = []
    for step in steps:
        torch.manual_seed(step)
        ids = torch.randint(0, 8, (4, 16))
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        set_learning_rate(optimizer, tuning.learning_rate * (1 - step / 20))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_it_learns_and_its_state_comes_back_exactly(name: Optimizer, tmp_path: Path) -> None:
    tuning, unbroken = plan(name), llama()
    losses = train(unbroken, make_optimizer(unbroken, tuning, CPU), tuning, range(8))
    assert losses[-1] < losses[0] - (0.03 if name == "sgd" else 0.3)

    first = llama()
    optimizer = make_optimizer(first, tuning, CPU)
    train(first, optimizer, tuning, range(4))
    tensors, numbers = flatten(optimizer, first)
    save_file(tensors, tmp_path / "optimizer.safetensors")
    assert name not in EIGHT_BITS or any(t.dtype == torch.uint8 for t in tensors.values())

    second = llama()
    second.load_state_dict(first.state_dict())
    optimizer = make_optimizer(second, tuning, CPU)
    restore(optimizer, second, (load_file(tmp_path / "optimizer.safetensors"), numbers))
    assert train(second, optimizer, tuning, range(4, 8)) == losses[4:]
    for one, other in zip(unbroken.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_state_finer_than_its_parameters_is_not_rounded() -> None:
    model = llama().to(torch.bfloat16)
    tuning = plan("adafactor")
    optimizer = make_optimizer(model, tuning, CPU)
    train(model, optimizer, tuning, range(2))
    before = flatten(optimizer, model)
    assert before[0]["lm_head.weight|exp_avg_sq_row"].dtype == torch.float32
    restore(optimizer, model, before)
    for place, tensor in flatten(optimizer, model)[0].items():
        assert torch.equal(tensor, before[0][place])


def test_a_state_of_other_parameters_is_refused() -> None:
    model = llama()
    optimizer = make_optimizer(model, plan("adamw"), CPU)
    with pytest.raises(KeyError):
        restore(optimizer, model, ({"elsewhere|exp_avg": torch.zeros(1)}, {}))


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    model, tuning = llama(), plan("muon", weight_decay=0.1)
    optimizer = make_optimizer(model, tuning, CPU)
    train(model, optimizer, tuning, range(1))
    tensors, _ = flatten(optimizer, model)
    muon = {place.rpartition("|")[0] for place in tensors if place.endswith("|momentum_buffer")}
    adamw = {place.rpartition("|")[0] for place in tensors if place.endswith("|exp_avg")}
    assert muon == {n for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2}
    assert adamw == {name for name, _ in model.named_parameters()} - muon


def test_a_step_of_muon_changes_all_directions_alike() -> None:
    matrix = nn.Parameter(torch.zeros(64, 64))
    optimizer = Muon([{"params": [matrix], "weight_decay": 0.0}], {matrix}, lr=0.01)
    matrix.grad = torch.randn(64, 64) * torch.logspace(0, -2, 64)
    optimizer.step()
    stretch = torch.linalg.svdvals(matrix.detach())
    assert stretch.max() / stretch.median() < 2
    rms = matrix.detach().square().mean().sqrt().item()
    assert rms == pytest.approx(0.2 * 0.01, rel=0.2)  # as large as a step of AdamW


def adapted(**fields: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **fields)
    return get_peft_model(llama(), config)


def test_lora_plus_hurries_the_b_matrices_only() -> None:
    """SGD from the same start: the first step of each B is sixteen times as long, that of each A is not."""

    def first_step(ratio: float) -> dict[str, torch.Tensor]:
        model: Any = adapted(init_lora_weights=False)
        tuning = plan("sgd", loraplus_lr_ratio=ratio, weight_decay=0.0)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        train(model, make_optimizer(model, tuning, CPU), tuning, range(1))
        now = dict(model.named_parameters())
        return {name: now[name].detach() - weight for name, weight in before.items()}

    plain, plus = first_step(1.0), first_step(16.0)
    for name, change in plain.items():
        factor = 16.0 if ".lora_B." in name else 1.0
        torch.testing.assert_close(plus[name], factor * change, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_lora_plus_and_every_optimizer(name: Optimizer) -> None:
    model: Any = adapted()
    tuning = plan(name, loraplus_lr_ratio=4.0)
    optimizer = make_optimizer(model, tuning, CPU)
    set_learning_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for where, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == (2.0 if ".lora_B." in where else 0.5)


def test_norms_do_not_decay() -> None:
    optimizer = make_optimizer(llama(), plan("adamw", weight_decay=0.3), CPU)
    decays = {p.ndim: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}  # fmt: skip
    assert decays == {2: 0.3, 1: 0.0}


def test_adapter_matrices_are_hidden_matrices() -> None:
    model: Any = adapted(modules_to_save=["lm_head"])
    hidden = hidden_matrices(model)
    kinds = {name: p in hidden for name, p in model.named_parameters() if p.requires_grad}
    assert {found for name, found in kinds.items() if "lora_" in name} == {True}
    assert {found for name, found in kinds.items() if "lm_head" in name} == {False}
