"""The real connections, under the names of `ulsam_cost.formulas.connections`."""
