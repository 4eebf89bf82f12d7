"""Fuzzers: inputs of every kind, made wrong by their structure; nothing but our own errors may come out."""
