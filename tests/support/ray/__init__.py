"""A Ray cluster in memory: its dashboard's API over real HTTP, and what stands in for its drivers."""
