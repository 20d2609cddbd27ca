"""The application of the story, in Django; with and without await."""

import json

from asgiref.sync import sync_to_async
from django.contrib import admin, messages
from django.contrib.auth import get_user_model, logout
from django.http import JsonResponse
from django.urls import path
from rest_framework.decorators import api_view
from rest_framework.response import Response

from coatcheck.django import current, sign_in, signed_in

MEETING = []


def whoami(request):
    session = current(request)
    return JsonResponse({"sub": session and session.sub, "amr": list(session.amr) if session else []})


@signed_in
async def private(request):
    return JsonResponse({"sub": await sync_to_async(lambda: request.user.pk)()})


@signed_in(fresh_s=300, amr="otp")
def vault(request):
    return JsonResponse({})


@signed_in(claim=("roles", "admin"))
def office(request):
    return JsonResponse({})


def come(request):
    sent = json.loads(request.body)
    user, _ = get_user_model().objects.get_or_create(pk=sent["sub"])
    sign_in(request, user, amr=sent.get("amr", ()), claims={"roles": sent.get("roles", [])})
    return JsonResponse({})


async def come_async(request):
    from django.contrib.auth import alogin  # since 5.0

    user, _ = await get_user_model().objects.aget_or_create(pk=json.loads(request.body)["sub"])
    await alogin(request, user)
    return JsonResponse({})


def go(request):
    logout(request)
    return JsonResponse({})


def change(request):
    if request.method == "GET":
        return JsonResponse({key: value for key, value in request.session.items() if key[0] != "_"})
    sent = json.loads(request.body)
    request.session.get("both")
    if request.path == "/meet":
        MEETING[-1].wait()
    for key, value in sent.get("set", {}).items():
        request.session[key] = value
    for key in sent.get("unset", []):
        del request.session[key]
    return JsonResponse({})


async def change_async(request):
    sent = json.loads(request.body)
    await request.session.aget("both")
    await sync_to_async(MEETING[-1].wait, thread_sensitive=False)()
    await request.session.aupdate(sent.get("set", {}))
    return JsonResponse({})


def say(request):
    messages.info(request, "saved")
    return JsonResponse({})


def said(request):
    return JsonResponse([str(one) for one in messages.get_messages(request)], safe=False)


@api_view(["GET"])
def orders(request):
    return Response({"user": request.user and request.user.pk, "sid": request.auth and request.auth.sid})


urlpatterns = [
    path("whoami", whoami),
    path("private", private),
    path("vault", vault),
    path("office", office),
    path("sign-in", come),
    path("sign-in-async", come_async),
    path("sign-out", go),
    path("data", change),
    path("meet", change),
    path("meet-async", change_async),
    path("say", say),
    path("said", said),
    path("orders", orders),
    path("admin/", admin.site.urls),
]


def claims_of(user):
    """What the project says of its users."""
    return {"staff": user.is_staff}
