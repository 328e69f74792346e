"""Who may connect, and whose a token is."""
