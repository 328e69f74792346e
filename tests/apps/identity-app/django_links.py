"""A link by `build_absolute_uri`, and a form. HOSTS: ALLOWED_HOSTS; PROXY: it believes a proxy."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path

hosts = os.environ.get("HOSTS", "")
proxy = {
    "USE_X_FORWARDED_HOST": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
}
settings.configure(
    DEBUG=True,
    SECRET_KEY="nobody needs to know",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=hosts.split(",") if hosts else [],
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    **(proxy if os.environ.get("PROXY") else {}),
)


def home(request):
    return HttpResponse(
        f"<!doctype html><a href='{request.build_absolute_uri('/left')}'>left</a>"
        f"<form method=post action=/f><input name=csrfmiddlewaretoken value='{get_token(request)}'>"
        "<button>Send</button></form>"
    )


def form(request):
    return redirect("/left")


def left(request):
    return HttpResponse("<h1>left</h1>")


urlpatterns = [path("", home), path("f", form), path("left", left)]
execute_from_command_line(
    [sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{os.environ['PORT']}"]
)
