"""What an operator watches: numbers of the control plane, and traces. Put around its parts; they know nothing of it."""
