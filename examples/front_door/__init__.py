"""Two applications behind nginx, which asks Coatcheck's front door about every request."""
