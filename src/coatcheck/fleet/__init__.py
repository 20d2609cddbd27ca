"""Memory that can be trusted. Floor 3; may import: floors 0 to 2. The design of it: ``docs/explanation/memory.md``."""
