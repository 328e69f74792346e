"""Keeps what passes: taps note it, and the store's task sorts it later, under one budget."""
