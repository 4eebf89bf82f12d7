"""Packets become flows, segments become ordered streams, and both leave memory when they end."""
