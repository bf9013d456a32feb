"""
A shop on Django with its own users, on WSGI and on ASGI.
"""

import os

import django
from django.conf import settings
from shop_router import BARE, COOKIE, SESSION_SECRET, purchase, shown

from cutover.integrations import Session, visit_of
from cutover.integrations.django import VisitMiddleware


def name_of_user(request):
    return request.user.get_username() or None


visits = VisitMiddleware(purchase, key=name_of_user, carrier=COOKIE)
visits_in_session = VisitMiddleware(purchase, key=name_of_user, carrier=Session(find=lambda request: request.session))
chosen = [] if BARE else [f"{__name__}.{os.environ.get('VISITS', 'visits')}"]

settings.configure(
    SECRET_KEY=SESSION_SECRET,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        *chosen,
    ],
    USE_TZ=True,
)
django.setup()

from django.contrib import auth  # noqa: E402 - once the settings are there
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

call_command("migrate", verbosity=0)


def ask(request, **given):
    return name_of_user(request) if BARE else visit_of(request, **given)


def page(request):
    return HttpResponse("page")


def cached(request):
    return HttpResponse("cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"'})


def show(request):
    return JsonResponse(shown(ask(request)))


async def show_async(request):
    user = await request.auser()
    return JsonResponse(shown(ask(request, key=user.get_username() or None)))


def front(request):
    return HttpResponse(shown(ask(request))["backend"], headers={"Cache-Control": "s-maxage=60"})


def checked(request):
    return HttpResponse(shown(ask(request))["backend"], headers={"Cache-Control": "no-cache"})


def unchanged(request):
    ask(request)
    return HttpResponse(status=304, headers={"ETag": '"1"'})


def login(request, user):
    ask(request)
    users = auth.get_user_model().objects
    auth.login(request, users.filter(username=user).first() or users.create_user(user))
    return JsonResponse(shown(ask(request, key=user)))


def logout(request):
    ask(request)
    auth.logout(request)
    return JsonResponse(shown(ask(request, key=None)))


def home(request, side):
    return JsonResponse(shown(ask(request, home=side)))


def leave(request):
    ask(request).leave()
    return HttpResponse()


def stream(request):
    visit = ask(request)
    return StreamingHttpResponse(shown(visit)["backend"] for _ in range(3))


async def stream_async(request):
    user = await request.auser()
    visit = ask(request, key=user.get_username() or None)

    async def parts():
        for _ in range(3):
            yield shown(visit)["backend"]

    return StreamingHttpResponse(parts())


def boom(request):
    ask(request)
    raise RuntimeError("boom")


is_async = os.environ.get("PROTOCOL") == "asgi"
urlpatterns = [
    path("page", page),
    path("cached", cached),
    path("cart", show),
    path("inner/cart", show_async if is_async else show),
    path("front", front),
    path("checked", checked),
    path("unchanged", unchanged),
    path("login/<user>", login),
    path("logout", logout),
    path("home/<side>", home),
    path("leave", leave),
    path("stream", stream_async if is_async else stream),
    path("boom", boom),
]
app = get_asgi_application() if is_async else get_wsgi_application()
