from pathlib import Path

from tunegate.launchers.local.machine import look
from tunegate.launchers.local.settings import LocalSettings


def fake_root(path: Path, gpus: int, limit: str | None = None) -> Path:
    (path / "dev").mkdir()
    for index in range(gpus):
        (path / f"dev/nvidia{index}").touch()
        card = path / f"proc/driver/nvidia/gpus/0000:0{index}:00.0"
        card.mkdir(parents=True)
        (card / "information").write_text("Model: \t NVIDIA H100\nIRQ: 1\n")
    (path / "dev/nvidiactl").touch()
    (path / "proc").mkdir(exist_ok=True)
    (path / "proc/meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    if limit is not None:
        (path / "sys/fs/cgroup").mkdir(parents=True)
        (path / "sys/fs/cgroup/memory.max").write_text(limit)
    return path


def test_gpus_are_counted_and_named(tmp_path: Path) -> None:
    machine = look(LocalSettings(), {}, fake_root(tmp_path, 2))
    assert machine.gpu_ids == ["0", "1"]
    assert machine.gpu_type == "NVIDIA H100"
    assert machine.memory_bytes == 16 * 2**30


def test_no_gpu(tmp_path: Path) -> None:
    machine = look(LocalSettings(), {}, fake_root(tmp_path, 0))
    assert (machine.gpu_ids, machine.gpu_type) == ([], None)


def test_the_gateways_own_limits_hold(tmp_path: Path) -> None:
    root = fake_root(tmp_path, 4, limit=str(2**30))
    machine = look(LocalSettings(), {"CUDA_VISIBLE_DEVICES": "2,3"}, root)
    assert machine.gpu_ids == ["2", "3"]
    assert machine.memory_bytes == 2**30
    assert look(LocalSettings(), {"CUDA_VISIBLE_DEVICES": ""}, root).gpu_ids == []
    assert look(LocalSettings(), {"CUDA_VISIBLE_DEVICES": "-1"}, root).gpu_ids == []


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    machine = look(LocalSettings(), {}, fake_root(tmp_path, 0, limit="max\n"))
    assert machine.memory_bytes == 16 * 2**30


def test_the_operator_knows_better(tmp_path: Path) -> None:
    settings = LocalSettings(gpus=1, gpu_type="L4", cpus=3, memory_gb=5)
    machine = look(settings, {}, fake_root(tmp_path, 2))
    assert (machine.gpu_ids, machine.gpu_type) == (["0"], "L4")
    assert (machine.cpus, machine.memory_bytes) == (3, 5 * 2**30)
