"""Shows bodies: each way of it a pure function, of bytes that nobody vouches for."""
