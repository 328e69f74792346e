"""How the server tells of itself."""
