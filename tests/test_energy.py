"""Energy by a counter that counts what it is told, and the driver's state without a driver."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring import energy, nvml
from ulsam_cost.measuring.energy import measure_energy
from ulsam_cost.measuring.runner import Ready, Setting, make_setting

CUDA = torch.device("cuda", 0)
IDLE_WATTS, BUSY_WATTS, RUN_SECONDS, BATCH = 100.0, 300.0, 0.01, 4


class Driver:
    """NVML of a device that draws so much, on a clock that only work and sleep move."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self, counts=True):
        self.now = self.joules = 0.0
        self.counts, self.opened = counts, 0

    def pass_time(self, seconds, watts=IDLE_WATTS):
        self.now += seconds
        self.joules += seconds * watts

    def nvmlInit(self):  # noqa: N802
        self.opened += 1

    def nvmlShutdown(self):  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if not self.counts:
            raise self.NVMLError("Not Supported")
        return self.joules * 1e3

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        return {1: 1980, 2: 3201}[kind]

    def nvmlDeviceGetTemperature(self, handle, kind):  # noqa: N802
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):  # noqa: N802
        return 700_000


@pytest.fixture
def driver(monkeypatch):
    driver = Driver()
    monkeypatch.setattr(nvml, "_handle", lambda *_: "device 0")
    monkeypatch.setattr(energy, "sleep", driver.pass_time)
    monkeypatch.setattr(energy, "perf_counter", lambda: driver.now)
    monkeypatch.setattr(energy, "on_device", lambda device: nullcontext())
    monkeypatch.setattr(energy, "synchronize", lambda device: None)
    x = torch.ones(BATCH, 3)
    ready = Ready(model=nn.Identity(), args=(x,), kwargs={}, run=lambda: driver.pass_time(RUN_SECONDS, BUSY_WATTS))
    monkeypatch.setattr(energy, "prepare", lambda *_: ready)
    return driver


def test_joules_an_image(driver):
    found = measure_energy(nn.Identity(), None, setting=Setting(device=CUDA), seconds=1.0, nvml=driver)
    assert found.joules_per_image == pytest.approx(BUSY_WATTS * RUN_SECONDS / BATCH)
    assert found.watts == pytest.approx(BUSY_WATTS)
    assert found.idle_watts == pytest.approx(IDLE_WATTS)
    assert found.images == pytest.approx(found.seconds / RUN_SECONDS * BATCH)
    assert driver.opened == 0


def test_a_device_that_does_not_count_is_refused(driver):
    driver.counts = False
    with pytest.raises(DeviceError, match="no energy counter"):
        measure_energy(nn.Identity(), None, setting=Setting(device=CUDA), nvml=driver)
    assert driver.opened == 0


def test_the_cpu_is_refused():
    with pytest.raises(DeviceError, match="device is cpu"):
        measure_energy(nn.Identity(), torch.ones(1), setting=make_setting(device="cpu"))


def test_the_state_tells_what_the_driver_does(driver, monkeypatch, tmp_path):
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n")
    monkeypatch.setattr(nvml, "_DRIVER", version)
    assert nvml.driver_state(CUDA, driver) == {
        "driver": "550.54.15",
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 3201,
        "temperature_c": None,
        "power_limit_w": 700.0,
    }


def test_the_open_kernel_module_has_a_version_too(monkeypatch, tmp_path):
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n")
    monkeypatch.setattr(nvml, "_DRIVER", version)
    assert nvml.driver_version() == "580.65.06"


def test_without_a_driver_nothing_is_known(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(nvml, "import_module", missing)
    monkeypatch.setattr(nvml, "_DRIVER", tmp_path / "missing")
    assert set(nvml.driver_state(CUDA).values()) == {None}
    with pytest.raises(DeviceError, match="nvidia-ml-py"), nvml.nvml_handle(CUDA):
        pass
