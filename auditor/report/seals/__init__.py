"""Signatures and time stamps of results: who vouches for them, and since when they are as they are."""
