"""A model without a table: the admin's page of sessions, and its permissions. Floor 5; may import: Django."""

from __future__ import annotations

from django.db import models


class UserSession(models.Model):
    """The sessions of a user, as the admin shows them. They are in Coatcheck's store."""

    class Meta:
        """No table; to look at it and to end sessions are permissions."""

        app_label = "coatcheck"
        managed = False
        default_permissions = ("view", "delete")
        verbose_name = "session"
        verbose_name_plural = "sessions"

    def __str__(self) -> str:
        """Say what it is."""
        return "the sessions of a user"
