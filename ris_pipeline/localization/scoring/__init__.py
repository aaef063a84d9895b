"""Estimates against the truth."""
