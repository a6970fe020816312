"""Wire types and nothing else: the request, the job, events, specs; msgspec is the only import."""
