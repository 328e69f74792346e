"""The client tells of itself, as JSON or as lines for people."""
