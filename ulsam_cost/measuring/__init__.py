"""What a real model takes on a device: time, memory, energy."""
