"""Captures in, batches of finished flows out, in two threads."""
