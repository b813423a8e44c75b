"""A page: its model, and what writes it as Markdown and as HTML."""
