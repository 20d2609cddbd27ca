"""A small application in Flask: pages, forms, a list of devices."""
