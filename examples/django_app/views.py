"""The pages that are not Django's own."""

from __future__ import annotations

import os

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from coatcheck import Refused
from coatcheck.django import current, engine, signed_in


def home(request: HttpRequest) -> HttpResponse:
    """Show the cart, which anybody has; with POST put something into it."""
    if request.method == "POST":
        thing = request.POST.get("thing", "").strip()[:100]
        if thing:
            request.session["cart"] = [*request.session.get("cart", []), thing]
        return redirect("home")
    return render(request, "home.html", {"cart": request.session.get("cart", [])})


@signed_in
def devices(request: HttpRequest) -> HttpResponse:
    """List where one is signed in."""
    mine = current(request)
    sessions = engine().sessions_of(str(request.user.pk))
    return render(request, "devices.html", {"sessions": sessions, "mine": mine})


@require_POST
@signed_in
def end_one(request: HttpRequest, sid: str) -> HttpResponse:
    """End one of one's own sessions: when this returns, no process accepts it."""
    if isinstance(engine().revoke(sid, of=str(request.user.pk)), Refused):
        raise Http404
    messages.info(request, "That session has ended.")
    return redirect("devices")


@signed_in(fresh_s=300)
def safe(request: HttpRequest) -> HttpResponse:
    """Show something for which a login of the last five minutes is needed."""
    return render(request, "safe.html")


@signed_in
async def me(request: HttpRequest) -> HttpResponse:
    """Say who is asking, and which process answers."""
    session = current(request)
    return JsonResponse({"sub": session and session.sub, "process": os.getpid()})
