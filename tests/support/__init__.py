"""Shared by the tiers of tests that drive real processes."""
