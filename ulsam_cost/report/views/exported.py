"""The files that a runtime ran, as columns of a table and as sentences."""

from collections.abc import Mapping
from typing import Any

from ulsam_cost.report.formats import known, mebibytes, number, words

MODEL = words("model", "model")
COLUMNS = (
    number("file_bytes", "bytes\non disk"),
    mebibytes("resident_bytes", "memory\nMiB"),
    number("macs", "MACs\nin files"),
    number("counted_macs", "MACs\ncounted"),
    number("difference", "outputs\ndiffer by", known("{:.1e}".format)),
)
NOTES = (
    "memory: peak resident memory of a process that loads the files and runs them once in one thread, over what it "
    "was before",
    "outputs differ by: largest difference from PyTorch's in float32, over the largest of these",
)


def files_records(exported: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the JSON of what ran: the files of the baseline, where there is one, and those of the network."""
    models = {model: exported[model] for model in ("baseline", "network") if exported[model]}
    return [{"model": model, **files, **files["agreement"]} for model, files in models.items()]


def exported_sentences(exported: Mapping[str, Any]) -> list[str]:
    """Of the JSON of what ran: what was accepted and what was set, and what the outputs do not show."""
    settings = ", ".join(f"{name} {value}" for name, value in exported["settings"].items())
    calibrated = f", calibrated with {exported['calibration']}" if exported["calibration"] else ""
    tolerance = exported["network"]["agreement"]["tolerance"]
    accepted = "any difference" if tolerance is None else f"a difference of {tolerance:.2g}"
    notes = {record["note"] for record in files_records(exported)} - {None}
    return [f"{accepted} is accepted; version {exported['version']}, {settings}{calibrated}", *notes]
