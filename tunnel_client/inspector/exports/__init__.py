"""Turns what is kept into what other programs read: curl, Python, and HAR, which is read, too."""
