"""What is shipped with the code: registries, policies, address ranges; and the version of all of it."""

from pathlib import Path

FOLDER = Path(__file__).parent
__version__ = "0.1.0"
