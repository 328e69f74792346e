"""Owners: who may connect, and whose a token is."""
