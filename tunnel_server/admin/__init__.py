"""Commands of whoever runs the server, and the socket that they come by."""
