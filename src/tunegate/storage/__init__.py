"""Object stores behind one async interface: s3, file, http (read)."""
