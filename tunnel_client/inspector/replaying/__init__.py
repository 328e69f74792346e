"""Sends a captured request again: as it was, changed, or to another port of this machine."""
