"""Experiment trackers: each a thin adapter, imported when a job names it. Training never waits for one."""
