"""What `ulsam-cost report` writes."""
