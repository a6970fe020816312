"""What `tunegate demo` runs: the main job at small scale, on this machine."""
