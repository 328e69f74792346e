"""What both are as programs, and no part of the wire: logs, exit codes, text for terminals."""
