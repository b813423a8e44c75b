"""What a real model costs, counted without computing anything."""
