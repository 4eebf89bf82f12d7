"""Objects in stores: a child process speaks to them, which alone has a network and the user's credentials."""
