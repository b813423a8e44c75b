"""The folder that a model is exported to: what a runtime's process finds there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ulsam_cost.measuring.runtimes.runtime import Arrays

BASELINE, NETWORK = "baseline", "network"
FACTS = "facts.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's exported files, beside its inputs and PyTorch's outputs for them; and samples to quantize it with."""

    path: Path

    @property
    def files(self) -> Path:
        """Where the runtime's own files are."""
        return self.path / "files"

    @property
    def file_bytes(self) -> int:
        """Their size."""
        return sum(file.stat().st_size for file in self.files.rglob("*") if file.is_file())

    @property
    def facts(self) -> dict[str, Any]:
        """What was noted of the model."""
        facts: dict[str, Any] = json.loads((self.path / FACTS).read_text(encoding="utf-8"))
        return facts

    def note(self, facts: Mapping[str, Any]) -> None:
        """Keep what is known of the model, in place of what was noted."""
        (self.path / FACTS).write_text(json.dumps(dict(facts)), encoding="utf-8")

    def write(self, name: str, arrays: Arrays) -> None:
        """Keep arrays under a name, in their order."""
        np.savez(self.path / f"{name}.npz", *arrays)

    def read(self, name: str) -> list[Any]:
        """Read them back."""
        with np.load(self.path / f"{name}.npz") as arrays:
            return [arrays[key] for key in arrays.files]

    def write_samples(self, samples: Sequence[Arrays]) -> None:
        """Keep several lists of arrays."""
        for number, arrays in enumerate(samples):
            self.write(f"sample{number:04}", arrays)

    def read_samples(self) -> list[list[Any]]:
        """Read them back."""
        return [self.read(file.stem) for file in sorted(self.path.glob("sample*.npz"))]
