"""Sessions with clients, the names that they hold, and where requests wait for them."""
