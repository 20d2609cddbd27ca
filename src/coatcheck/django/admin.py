"""
The admin's page of sessions: find a user, see where they are signed in, end it. Floor 5; may import: 0 to 4, Django.

Rules of this module:

1. Who may look and who may end sessions are two permissions of the model; a session is ended by POST.
2. A session is ended as its user's only: a ``sid`` from elsewhere ends nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import csrf_protect

from coatcheck.django.conf import engine
from coatcheck.django.models import UserSession
from coatcheck.records import Refused, Session


@admin.register(UserSession)
class UserSessionAdmin(admin.ModelAdmin):
    """Where users are signed in."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Sessions begin by a login."""
        return False

    @method_decorator(csrf_protect)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """Show the sessions of one user; with POST end one of them, or all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        name = request.GET.get("q", "").strip()
        user = _find(name) if name else None
        if request.method == "POST":
            return self._end(request, user)
        context = {
            **self.admin_site.each_context(request),
            "title": "Sessions",
            "opts": self.model._meta,  # noqa: SLF001  Django's own name
            "asked": name,
            "user_shown": user,
            "sessions": [] if user is None else [_shown(one) for one in engine().sessions_of(_key(user))],
            "may_end": self.has_delete_permission(request),
            "mine": getattr(getattr(request.session, "record", None), "sid", None),
        }
        return TemplateResponse(request, "coatcheck/sessions.html", context)

    def _end(self, request: HttpRequest, user: Any) -> HttpResponseBase:
        if not self.has_delete_permission(request):
            raise PermissionDenied
        sid = request.POST.get("sid", "")
        if user is None:
            messages.error(request, "There is no such user.")
        elif not sid:
            engine().revoke_user(_key(user), reason="ended in the admin")
            messages.success(request, f"{user} is signed out everywhere.")
        elif isinstance(engine().revoke(sid, of=_key(user), reason="ended in the admin"), Refused):
            messages.warning(request, "That session had ended already.")
        else:
            messages.success(request, "The session has ended. No process accepts it.")
        return HttpResponseRedirect(request.get_full_path())


def _find(name: str) -> Any:
    users = get_user_model()._default_manager  # noqa: SLF001  Django's own name
    found = users.filter(**{get_user_model().USERNAME_FIELD: name}).first()
    if found is None:
        try:
            found = users.filter(pk=name).first()
        except (ValueError, TypeError, ValidationError):
            return None
    return found


def _key(user: Any) -> str:
    return str(user._meta.pk.value_to_string(user))  # noqa: SLF001  Django's own way to write a key


def _shown(session: Session) -> dict[str, Any]:
    def at(seconds: int) -> dt.datetime:
        return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)

    device = session.device
    return {
        "sid": session.sid,
        "ip": device.ip or "unknown",
        "user_agent": device.user_agent or "unknown",
        "since": at(session.auth_time or session.created_at),
        "seen": at(session.seen_at),
        "until": at(session.expires_at),
    }
