"""The model without a table. Floor 5; may import: Django."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Notes the model, so that it has permissions."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[object]] = [
        migrations.CreateModel(
            name="UserSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))
            ],
            options={
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
                "default_permissions": ("view", "delete"),
                "managed": False,
            },
        ),
    ]
