"""A small Django project: log in, see and end your sessions, change your password."""
