"""What plugin authors import. Everything named here is public and versioned."""
