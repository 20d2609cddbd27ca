"""Decisions. Floor 1: pure functions of (what is, now, policy); no I/O, no clock, no token."""
