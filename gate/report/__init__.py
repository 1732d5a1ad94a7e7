"""A report to and from JSON, in a terminal, as Markdown, compared with others."""
