"""Which way a flow went: evidence from frames and a topology file, and the verdict it allows."""
