"""What can go wrong that is the user's to mend."""


class AuditError(Exception):
    """The work could not be done; the message is one sentence for the person who asked for it."""


class InputError(AuditError):
    """An input cannot be read, or is no capture."""


class TopologyError(AuditError):
    """A topology file is not valid; the message names the file and the key."""


class PolicyError(AuditError):
    """A policy file is not valid; the message names the file and the key."""
