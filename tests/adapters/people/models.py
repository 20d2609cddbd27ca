"""Somebody, whose name is the key."""

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models


class Persons(BaseUserManager):
    """Makes people."""

    def create_user(self, name, password=None, **more):
        """Make one."""
        person = self.model(name=name, **more)
        person.set_password(password)
        person.save()
        return person


class Person(AbstractBaseUser, PermissionsMixin):
    """Whoever can log in."""

    name = models.CharField(max_length=50, primary_key=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    USERNAME_FIELD = "name"
    objects = Persons()

    def __str__(self):
        return self.name
