"""The routes."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import path

from examples.django_app import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sign-in", auth_views.LoginView.as_view(), name="login"),
    path("sign-out", auth_views.LogoutView.as_view(), name="logout"),
    path(
        "password",
        auth_views.PasswordChangeView.as_view(template_name="password.html", success_url="/devices"),
        name="password",
    ),
    path("devices", views.devices, name="devices"),
    path("devices/<sid>/end", views.end_one, name="end_one"),
    path("safe", views.safe, name="safe"),
    path("me", views.me, name="me"),
    path("admin/", admin.site.urls),
]
