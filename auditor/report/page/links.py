"""Links to flows: the filter is the address's fragment."""

from collections.abc import Sequence
from urllib.parse import quote, urlencode


def href(**facets: str | Sequence[str] | None) -> str:
    """A link to the flows that have these values."""
    given = {name: value for name, value in facets.items() if value is not None}
    return "#" + urlencode(given, doseq=True, quote_via=quote)
