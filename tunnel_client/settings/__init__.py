"""What a developer may set, where each value comes from, and what is allowed."""
