"""Where jobs are kept: one protocol, one driver per database."""
