"""What an operator may set, and what follows from it."""
