"""What all commands share: how they speak, read requests, reach a gateway and end."""
