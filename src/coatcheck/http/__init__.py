"""Header text to credential and back. Floor 1: knows no framework, no store, no clock."""
