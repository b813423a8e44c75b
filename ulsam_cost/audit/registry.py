"""The ways to compute a cell, strictest first, and how one is added."""

from ulsam_cost.audit.finding import Reading

READINGS: list[Reading] = []


def register_reading(reading: Reading) -> Reading:
    """Add a way to compute a cell; it is tried after those that stand.

    Raises:
        ValueError: if its name is taken.
    """
    if any(reading.name == other.name for other in READINGS):
        raise ValueError(f"reading {reading.name!r} is registered already")
    READINGS.append(reading)
    return reading
