"""Facts that the auditor ships: TLS code points, AWS endpoints and address ranges, policies. See ``build``."""
