"""What a web server lists of a folder: no more of it is read than a folder of captures can have."""

from aiohttp import ClientResponse

MOST_BYTES = 64 << 20


class Listing(ClientResponse):
    """An answer whose text is a listing. It may be another's, or have no end."""

    async def text(self, encoding: str | None = None, errors: str = "replace") -> str:
        """The listing. Raises ValueError where it is too long."""
        data = bytearray()
        async for piece in self.content.iter_any():
            data += piece
            if len(data) > MOST_BYTES:
                self.close()
                raise ValueError(f"a listing of more than {MOST_BYTES >> 20} MiB")
        try:
            return data.decode(encoding or self.charset or "utf-8", errors)
        except LookupError:  # an encoding that nobody knows
            return data.decode("utf-8", errors)
