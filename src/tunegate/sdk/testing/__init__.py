"""Conformance suites, fakes and bad actors, for our own plugins and for everybody's."""
