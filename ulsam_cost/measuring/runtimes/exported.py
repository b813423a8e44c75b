"""What is known of an exported model beside its times."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a runtime's outputs are from PyTorch's in float32, as a share of the largest of these.

    `tolerance` is the largest share that is accepted; None for int8, of which only the times are meant. `note` says why
    the agreement shows little, where it does.
    """

    difference: float
    tolerance: float | None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """The files of a model.

    `file_bytes` is their size. `resident_bytes` is the peak of the resident memory of a process that loads them and
    runs them once in one thread, over what it was when the runtime was imported; None where the system does not tell.
    `macs` are the multiply-accumulates of the exported graph, `counted_macs` those of the model in PyTorch; None where
    they are not known in full.
    """

    file_bytes: int
    resident_bytes: int | None
    macs: int | None
    counted_macs: int | None
    agreement: Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The files that a runtime ran, its version and what was set of it, and the data that int8 was calibrated with."""

    version: str
    settings: Mapping[str, str | int | bool]
    calibration: str | None
    network: ExportedModel
    baseline: ExportedModel | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return asdict(self)
