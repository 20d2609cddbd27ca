"""The ready-made server: accounts, pages, devices, administrators. Floor 6; may import: floors 0 to 5."""
