"""What a real model costs: counted without computing, measured on a device."""
