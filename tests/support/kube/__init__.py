"""A Kubernetes API server in memory, spoken to over real HTTP, and what makes its objects live."""
