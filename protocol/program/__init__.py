"""The programs' own, and no part of the wire: settings, logs, exit codes, text for terminals."""
