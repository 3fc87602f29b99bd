"""Where two pipelines differ: another's dump compared with what is computed here, stage by stage."""
