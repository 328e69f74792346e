"""The server tells of itself."""
