"""The application for ``INSTALLED_APPS``. Floor 5; may import: floors 0 to 4, Django."""

from __future__ import annotations

from django.apps import AppConfig


class CoatcheckConfig(AppConfig):
    """Connects the signals and registers the system checks."""

    name = "coatcheck.django"
    label = "coatcheck"
    verbose_name = "Coatcheck"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Begin."""
        from django.core import checks

        from coatcheck.django import signals
        from coatcheck.django.checks import look

        signals.connect()
        checks.register(look, checks.Tags.security)
