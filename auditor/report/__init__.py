"""Results: files, the Audit object, terminal tables."""
