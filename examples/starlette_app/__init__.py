"""Sign in, see your devices, end one of them, sign out: a small complete Starlette application."""
