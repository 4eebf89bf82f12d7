"""The border: what others wrote comes in by one gate, and text goes out by one function."""
