"""Text to meaning and back. Floor 1: pure; knows no store, no policy, no HTTP and no clock."""
