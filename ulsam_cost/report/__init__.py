"""Presentation: values into terminal tables, Markdown, CSV, JSON, LaTeX and pictures."""
