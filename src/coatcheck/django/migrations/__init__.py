"""Migrations: there is no table, so they only note the model. Floor 5; may import: Django."""
