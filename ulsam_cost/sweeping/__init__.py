"""What many models cost, a row each, worked out by several processes or a cluster."""
