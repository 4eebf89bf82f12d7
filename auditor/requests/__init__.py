"""Requests inside TLS, where there are keys, and in clear: what was asked for, and how it was signed."""
