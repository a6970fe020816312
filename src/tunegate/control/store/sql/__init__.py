"""What a job store does, written once for every SQL database; a driver says how a statement is run."""
