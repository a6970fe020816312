"""docker's HTTP API in memory, on a real unix socket, and what makes its containers live."""
