"""Which application a stream or a datagram speaks."""
