"""Where two pipelines part: stage by stage, somebody's dump beside what is computed here."""
