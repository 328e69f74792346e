"""Visitors' connections: requests in, answers out."""
