"""What is shipped with the code: registries, policies, address ranges; and the version of all of it."""

__version__ = "0.1.0"
