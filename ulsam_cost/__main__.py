"""`python -m ulsam_cost` is the same program as `ulsam-cost`."""

from ulsam_cost.cli import main

main()
