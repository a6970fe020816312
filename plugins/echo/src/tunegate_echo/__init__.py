"""`backend` is the smallest tunegate backend, `python -m tunegate_echo` the program that it runs."""
