"""Tells two answers apart: status, fields, and bodies as JSON, as lines or as bytes."""
