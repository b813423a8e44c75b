"""A review of a design: candidates compared with a baseline and a budget."""
