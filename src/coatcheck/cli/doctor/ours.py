"""Placeholder. Floor 6."""

OURS: list = []
