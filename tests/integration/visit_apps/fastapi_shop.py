"""
A shop on FastAPI; a dependency knows who is logged in, and tells the visit.
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from shop_router import BARE, COOKIE, SESSION_SECRET, purchase, shown
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection

import cutover
from cutover.integrations import visit_of
from cutover.integrations.asgi import VisitMiddleware

app = FastAPI()
if not BARE:
    app.add_middleware(VisitMiddleware, journey=purchase, key=None, carrier=COOKIE)
app.add_middleware(SessionMiddleware, secret_key=SESSION_SECRET)  # what is added later stands outside


async def current_user(connection: HTTPConnection) -> str | None:
    return connection.session.get("user")


User = Annotated[str | None, Depends(current_user)]


async def current_visit(connection: HTTPConnection, user: User) -> cutover.Visit:
    return user if BARE else visit_of(connection, key=user)


def current_visit_of_sync_handlers(connection: HTTPConnection, user: User) -> cutover.Visit:
    return user if BARE else visit_of(connection, key=user)


Carried = Annotated[object, Depends(current_visit)]
CarriedInThread = Annotated[object, Depends(current_visit_of_sync_handlers)]


@app.get("/page")
def page():
    return PlainTextResponse("page")


@app.get("/cached")
def cached():
    return PlainTextResponse("cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"'})


@app.get("/cart")
async def show(visit: Carried):
    return shown(visit)


@app.get("/inner/cart")
def show_in_thread(visit: CarriedInThread):
    return shown(visit)


@app.get("/front")
async def front(visit: Carried, response: Response):
    response.headers["Cache-Control"] = "s-maxage=60"
    return shown(visit)["backend"]


@app.get("/checked")
async def checked(visit: Carried, response: Response):
    response.headers["Cache-Control"] = "no-cache"
    return shown(visit)["backend"]


@app.get("/unchanged")
async def unchanged(visit: Carried):
    return Response(status_code=304, headers={"ETag": '"1"'})


@app.get("/login/{user}")
async def login(request: Request, visit: Carried, user: str):
    request.session["user"] = user
    return shown(visit_of(request, key=user))


@app.get("/logout")
async def logout(request: Request, visit: Carried):
    request.session.clear()
    return shown(visit_of(request, key=None))


@app.get("/home/{side}")
async def home(request: Request, visit: Carried, side: str):
    return shown(visit_of(request, home=side))


@app.get("/leave")
async def leave(visit: Carried):
    visit.leave()


@app.get("/stream")
async def stream(visit: Carried):
    return StreamingResponse(shown(visit)["backend"] for _ in range(3))


@app.get("/boom")
async def boom(visit: Carried):
    raise RuntimeError("boom")


@app.websocket("/talk")
async def talk(websocket: WebSocket, visit: Carried):
    await websocket.accept()
    while (text := await websocket.receive_text()) != "bye":
        await websocket.send_json({"text": text, **shown(visit)})
    await websocket.close()
