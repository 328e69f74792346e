"""Shows what is kept, in a page and to programs; a server on this machine for its user alone."""
