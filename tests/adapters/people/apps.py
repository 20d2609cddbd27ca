"""People, as an application of Django."""

from django.apps import AppConfig


class People(AppConfig):
    """Whoever can log in."""

    name = "tests.adapters.people"
    label = "adapters_people"
    default_auto_field = "django.db.models.BigAutoField"
