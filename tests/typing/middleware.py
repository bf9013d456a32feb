"""
Middleware as users write it; checked, never run.
"""

from datetime import timedelta
from typing import Any, assert_type

import flask
from fastapi import FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware

import cutover
from cutover.integrations import Cookie, Header, Session, visit_of
from cutover.integrations.asgi import VisitMiddleware as AsgiMiddleware
from cutover.integrations.celery import task_headers, task_home, task_visit
from cutover.integrations.django import VisitMiddleware as DjangoMiddleware
from cutover.integrations.flask import carry_visits
from cutover.integrations.wsgi import VisitMiddleware as WsgiMiddleware

router = cutover.connect("sqlite:///cutover.db", secret="at least thirty-two bytes of a secret")
purchase = router.journey("purchase")
pay = router.flow("pay")


def user_of(scope: Any) -> str | None:
    found: str | None = scope["session"].get("user")
    return found


starlette_app = Starlette(
    middleware=[Middleware(AsgiMiddleware, purchase, key=user_of, carrier=Cookie(secure=False, samesite="Strict"))]
)
fastapi_app = FastAPI()
fastapi_app.add_middleware(AsgiMiddleware, journey=purchase, key=None, guest=Header(name="X-Guest"))
around = AsgiMiddleware(starlette_app, purchase, key=user_of, guest=None, cohort=lambda scope: "staff", was=user_of)

flask_app = flask.Flask("shop")
carry_visits(flask_app, purchase, key=user_of, carrier=Session(find=lambda request: flask.session))
wsgi_app = WsgiMiddleware(flask_app, purchase, key=user_of, carrier=Cookie(max_age=timedelta(hours=1)))

django_visits = DjangoMiddleware(purchase, key=user_of)


@fastapi_app.get("/pay")
async def show(request: Request) -> str:
    visit = visit_of(request)
    assert_type(visit, cutover.Visit)
    assert_type(visit_of(request, "purchase", key="user-42", home="old"), cutover.Visit)
    assert_type(pay.route(visit), cutover.Backend)
    return visit.backend


@fastapi_app.websocket("/talk")
async def talk(websocket: WebSocket) -> None:
    visit_of(websocket, key=None).leave()


def charge(task: Any, user: str) -> cutover.Backend:
    assert_type(task_headers(purchase.enter(user), home=cutover.Backend.OLD), dict[str, str])
    assert_type(task_visit(task, purchase, user), cutover.Visit)
    return pay.route(user, home=task_home(task))
