"""Three services and a door: one token is passed down, and each refuses one that does not name it."""
