"""The developer's settings, where each value comes from, and what is allowed."""
