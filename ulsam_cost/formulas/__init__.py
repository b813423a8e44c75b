"""The paper wing: closed forms on ints, NumPy arrays and sympy symbols. It never imports torch."""
