"""TLS as it is seen on the wire: records, handshake messages, hellos, fingerprints, names."""
