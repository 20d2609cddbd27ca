"""An interface in FastAPI: sign in, see and end your sessions, and a step that asks for the password again."""
