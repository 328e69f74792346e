"""The answers that the tunnel itself makes."""
