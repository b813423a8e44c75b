"""What each command prints: records in, tables out."""
