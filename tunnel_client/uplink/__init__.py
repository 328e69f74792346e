"""The tie to the server: connecting, claiming, resuming."""
