"""The study of a device: `python -m analyses.latency`."""
