"""Added to a project that `django-admin startproject` made: a form, and a redirect to itself."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template import engines
from django.views.decorators.csrf import ensure_csrf_cookie

names: list[str] = []
PAGE = """<!doctype html>
<title>Django app</title>
<h1>{{ url }}</h1>
<form method="post">{% csrf_token %}<input name="name"><button>Remember</button></form>
<p id="names">{{ names }}</p>
"""


@ensure_csrf_cookie
def form(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        names.append(request.POST["name"])
        return HttpResponseRedirect(request.build_absolute_uri())
    template = engines["django"].from_string(PAGE)
    context = {"url": request.build_absolute_uri(), "names": ", ".join(names)}
    return HttpResponse(template.render(context, request))
