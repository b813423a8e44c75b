"""The roofline estimate of counted work, and the limits kept in the cache folder."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring import roofline
from ulsam_cost.measuring.roofline import Roof, cache_folder, device_roof, roofline_estimate

CPU = torch.device("cpu")
ROOF = Roof(device="d", dtype="float32", bytes_per_second=1e9, flops_per_second=8e9)


@pytest.fixture
def calibrated(monkeypatch, tmp_path):
    """An empty cache folder, and a calibration that only counts how often it is asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    asked = []
    monkeypatch.setattr(roofline, "_calibrate", lambda *given: asked.append(given) or ROOF)
    return asked


def cost(macs, reads, writes):
    return Cost((OpCost(path="", kind=OpKind.CONV, operator="", output=(1,), macs=macs, reads=reads, writes=writes),))


def test_the_larger_of_two_times_is_the_estimate():
    # 2 * 4e6 FLOPs at 8e9 a second: 1 ms; 4 * (1e6 + 1e6) bytes at 1e9 a second: 8 ms
    estimate = roofline_estimate(cost(4_000_000, 1_000_000, 1_000_000), ROOF, 4)
    assert (estimate.compute_ms, estimate.memory_ms, estimate.ms, estimate.limit) == (1.0, 8.0, 8.0, "memory")
    assert estimate.intensity == 1.0
    assert roofline_estimate(cost(4_000_000, 10, 10), ROOF, 4).limit == "compute"
    assert ROOF.ridge == 8.0


def test_half_the_bytes_take_half_the_time():
    assert roofline_estimate(cost(0, 1000, 1000), ROOF, 2).ms == roofline_estimate(cost(0, 1000, 1000), ROOF, 4).ms / 2


def test_a_roof_is_measured_once(calibrated):
    assert device_roof(CPU, torch.float32) == device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 1
    device_roof(CPU, torch.float32, recalibrate=True)
    device_roof(CPU, torch.bfloat16)
    assert len(calibrated) == 3


def test_another_torch_measures_again(calibrated, monkeypatch):
    device_roof(CPU, torch.float32)
    monkeypatch.setattr(torch, "__version__", "2.99")
    device_roof(CPU, torch.float32)
    assert len(calibrated) == 2


@pytest.mark.parametrize("content", ["", "{}", '{"key": 1, "roof": {}}', "[1]"])
def test_a_broken_file_is_measured_again(calibrated, content):
    device_roof(CPU, torch.float32)
    (file,) = cache_folder().iterdir()
    assert json.loads(file.read_text())["roof"]["bytes_per_second"] == 1e9
    file.write_text(content)
    assert device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 2


@pytest.mark.parametrize("key", ["bytes_per_second", "flops_per_second"])
@pytest.mark.parametrize(
    "value", ["NaN", "-1", "0", "Infinity", "-Infinity", "1e-300", "true", '"1e9"', "null", "[1e9]"]
)
def test_limits_that_no_device_has_are_measured_again(calibrated, key, value):
    device_roof(CPU, torch.float32)
    (file,) = cache_folder().iterdir()
    file.write_text(file.read_text().replace(f'"{key}": {getattr(ROOF, key)}', f'"{key}": {value}'))
    assert f'"{key}": {value}' in file.read_text()
    assert device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 2
    assert device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 2


@pytest.fixture
def homeless(monkeypatch):
    """A user whom neither the environment nor the system gives a home."""

    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_caches_are_where_they_are_said_to_be(calibrated, tmp_path):
    assert cache_folder() == tmp_path / "ulsam-cost"
    assert device_roof(CPU, torch.float32) == device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 1


@pytest.mark.usefixtures("homeless")
def test_without_any_place_for_caches_the_roof_is_measured_each_time(calibrated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() is None
    assert device_roof(CPU, torch.float32) == device_roof(CPU, torch.float32) == ROOF
    assert len(calibrated) == 2
    assert list(tmp_path.iterdir()) == []  # no folder of the name `~`


def test_a_folder_below_a_home_that_is_not_known_is_none(monkeypatch):
    # as older versions of platformdirs give it
    monkeypatch.setattr(roofline, "user_cache_path", lambda *_, **__: Path("~/.cache/ulsam-cost"))
    assert cache_folder() is None


def test_another_devices_file_is_measured_again(calibrated):
    device_roof(CPU, torch.float32)
    (file,) = cache_folder().iterdir()
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({"key": kept["key"] | {"device": "another"}, "roof": kept["roof"]}))
    device_roof(CPU, torch.float32)
    assert len(calibrated) == 2


def test_a_folder_that_cannot_be_written_is_done_without(calibrated, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert device_roof(CPU, torch.float32) == ROOF


def test_a_calibration_measures_something(monkeypatch):
    monkeypatch.setattr(roofline, "COPIED_BYTES", {"cpu": 2**20})
    monkeypatch.setattr(roofline, "MATRIX_SIZES", {"cpu": (32, 64)})
    monkeypatch.setattr(roofline, "CALIBRATION_SECONDS", 0.01)
    roof = roofline._calibrate(CPU, torch.float32)
    assert roof.bytes_per_second > 0
    assert roof.flops_per_second > 0


@contextmanager
def tf32(*, convolutions, products):
    """Allow TF32, or not, for a while."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, products
    try:
        with torch.backends.cudnn.flags(allow_tf32=convolutions):
            yield
    finally:
        matmul.allow_tf32 = before


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("products", [True, False])
def test_a_cuda_device_with_and_without_tf32_has_two_roofs(calibrated, monkeypatch, convolutions, products):
    monkeypatch.setattr(roofline, "device_name", lambda device: "a device")
    monkeypatch.setattr(roofline, "driver_version", lambda: "1")
    cuda = torch.device("cuda", 0)
    with tf32(convolutions=False, products=False):
        device_roof(cuda, torch.float32)
    with tf32(convolutions=convolutions, products=products):
        device_roof(cuda, torch.float32)
        device_roof(cuda, torch.float32)
    assert len(calibrated) == (2 if convolutions or products else 1)


@pytest.mark.parametrize("convolutions", [True, False])
def test_products_are_measured_in_tf32_where_convolutions_may_use_it(convolutions):
    matmul = torch.backends.cuda.matmul
    with tf32(convolutions=convolutions, products=False):
        with roofline._tf32_as_allowed():
            assert matmul.allow_tf32 is convolutions
        assert matmul.allow_tf32 is False


def test_tf32_is_no_matter_of_the_cpu(calibrated):
    for allowed in (True, False):
        with tf32(convolutions=allowed, products=allowed):
            device_roof(CPU, torch.float32)
    assert len(calibrated) == 1


def test_a_product_that_the_device_does_not_have_names_the_format_and_the_device(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(roofline, "COPIED_BYTES", {"cpu": 2**10})
    monkeypatch.setattr(roofline, "CALIBRATION_SECONDS", 0.001)
    monkeypatch.setattr(torch, "mm", refuse)
    with pytest.raises(DeviceError) as caught:
        roofline._calibrate(CPU, torch.float16)
    assert str(caught.value) == (
        "the calibration in float16 on cpu: PyTorch has no such operation there "
        "(\"addmm_impl_cpu_\" not implemented for 'Half'); take another --dtype"
    )
