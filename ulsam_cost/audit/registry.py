"""The ways to compute a cell, strictest first, and how one is added."""

from ulsam_cost.audit.finding import Reading

READINGS: list[Reading] = []


def register_reading(reading: Reading) -> Reading:
    """Add a way to compute a cell; it is tried after the existing ones.

    Raises:
        ValueError: if its name is taken.

    Example:
        >>> import ulsam_cost as uc
        >>> from ulsam_cost.audit import READINGS
        >>> twice = uc.Reading(name="FLOPs", convention="flops", meaning="2 per MAC", compute=lambda cell: None)
        >>> uc.register_reading(twice) is READINGS[-1]
        True
        >>> READINGS.remove(twice)
    """
    if any(reading.name == other.name for other in READINGS):
        raise ValueError(f"reading {reading.name!r} is registered already")
    READINGS.append(reading)
    return reading
