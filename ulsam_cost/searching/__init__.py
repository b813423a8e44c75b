"""Which placements of attention keep a budget, and which of them cost least."""
