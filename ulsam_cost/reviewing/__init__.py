"""A review of a design: candidates held against a budget and against a baseline."""
