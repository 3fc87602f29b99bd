"""Rendering only: rows become the terminal's table, Markdown, CSV or JSON."""
