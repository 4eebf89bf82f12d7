"""The command ``audit``: the only room that prints or parses options."""

from auditor.cli.main import main

__all__ = ["main"]
