"""What is shipped with the code: registries, policies, address ranges; and the version of all of it."""

from pathlib import Path

FOLDER = Path(
    __file__
).parent  # importlib.resources would load what reads archives, and the program is a folder in any case
__version__ = "0.1.0"
