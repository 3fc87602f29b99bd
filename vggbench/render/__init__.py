"""Values in, text and pictures out: tables, plots, the report. Nothing is computed here."""
