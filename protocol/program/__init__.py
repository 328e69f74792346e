"""The programs' own, and no part of the wire: logs, exit codes, text for terminals."""
