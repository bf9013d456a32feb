"""
A shop on Flask; who is logged in stands in its session.
"""

import flask
from shop_router import BARE, COOKIE, SESSION_SECRET, purchase, shown

from cutover.integrations import Session, visit_of
from cutover.integrations.flask import carry_visits
from cutover.integrations.wsgi import VisitMiddleware

pages = flask.Blueprint("pages", __name__)


def user_of(request):
    return flask.session.get("user")


def ask(**given):
    return user_of(flask.request) if BARE else visit_of(flask.request, **given)


@pages.get("/page")
def page():
    return "page"


@pages.get("/cached")
def cached():
    return "cached", {"Cache-Control": "public, max-age=60", "ETag": '"1"'}


@pages.get("/cart")
@pages.get("/inner/cart")
def show():
    return shown(ask())


@pages.get("/front")
def front():
    return shown(ask())["backend"], {"Cache-Control": "s-maxage=60"}


@pages.get("/checked")
def checked():
    return shown(ask())["backend"], {"Cache-Control": "no-cache"}


@pages.get("/unchanged")
def unchanged():
    ask()
    return "", 304, {"ETag": '"1"'}


@pages.get("/login/<user>")
def login(user):
    ask()
    flask.session["user"] = user
    return shown(ask(key=user))


@pages.get("/logout")
def logout():
    ask()
    flask.session.clear()
    return shown(ask(key=None))


@pages.get("/home/<side>")
def home(side):
    return shown(ask(home=side))


@pages.get("/leave")
def leave():
    ask().leave()
    return ""


@pages.get("/stream")
def stream():
    visit = ask()
    return flask.Response(shown(visit)["backend"] for _ in range(3))


@pages.get("/boom")
def boom():
    ask()
    raise RuntimeError("boom")


def shop():
    app = flask.Flask(__name__)
    app.secret_key = SESSION_SECRET
    app.register_blueprint(pages)
    return app


app = shop()
app_with_sessions = shop()
if not BARE:
    carry_visits(app, purchase, key=user_of, carrier=COOKIE)
    carry_visits(app_with_sessions, purchase, key=user_of, carrier=Session(find=lambda request: flask.session))

app_behind_middleware = shop()
if not BARE:
    app_behind_middleware.wsgi_app = VisitMiddleware(
        app_behind_middleware.wsgi_app, purchase, key=user_of, carrier=COOKIE
    )
