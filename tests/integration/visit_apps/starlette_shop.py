"""
A shop on Starlette; who is logged in stands in its session.
"""

from shop_router import BARE, COOKIE, SESSION_SECRET, purchase, shown
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from cutover.integrations import Session, visit_of
from cutover.integrations.asgi import VisitMiddleware


def user_of(scope):
    return scope["session"].get("user")


def ask(request, **given):
    return user_of(request.scope) if BARE else visit_of(request, **given)


async def page(request):
    return PlainTextResponse("page")


async def cached(request):
    return PlainTextResponse("cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"'})


async def show(request):
    return JSONResponse(shown(ask(request)))


async def front(request):
    return PlainTextResponse(shown(ask(request))["backend"], headers={"Cache-Control": "s-maxage=60"})


async def checked(request):
    return PlainTextResponse(shown(ask(request))["backend"], headers={"Cache-Control": "no-cache"})


async def unchanged(request):
    ask(request)
    return Response(status_code=304, headers={"ETag": '"1"'})


async def login(request):
    ask(request)
    request.session["user"] = user = request.path_params["user"]
    return JSONResponse(shown(ask(request, key=user)))


async def logout(request):
    ask(request)
    request.session.clear()
    return JSONResponse(shown(ask(request, key=None)))


async def home(request):
    return JSONResponse(shown(ask(request, home=request.path_params["side"])))


async def leave(request):
    ask(request).leave()
    return PlainTextResponse("left")


async def stream(request):
    visit = ask(request)

    async def parts():
        for _ in range(3):
            yield shown(visit)["backend"]

    return StreamingResponse(parts())


async def boom(request):
    ask(request)
    raise RuntimeError("boom")


done = []


async def background(request):
    visit = ask(request)
    return PlainTextResponse("begun", background=BackgroundTask(lambda: done.append(shown(visit))))


async def background_done(request):
    return JSONResponse(done)


async def talk(websocket):
    visit = visit_of(websocket)
    await websocket.accept()
    while (text := await websocket.receive_text()) != "bye":
        await websocket.send_json({"text": text, **shown(visit)})
    await websocket.close()


routes = [
    Route("/page", page),
    Route("/cached", cached),
    Route("/cart", show),
    Route("/front", front),
    Route("/checked", checked),
    Route("/unchanged", unchanged),
    Route("/login/{user}", login),
    Route("/logout", logout),
    Route("/home/{side}", home),
    Route("/leave", leave),
    Route("/stream", stream),
    Route("/boom", boom),
    Route("/background", background),
    Route("/background_done", background_done),
    WebSocketRoute("/talk", talk),
    Mount("/inner", routes=[Route("/cart", show)]),
]


def shop(**carried):
    sessions = Middleware(SessionMiddleware, secret_key=SESSION_SECRET)
    visits = Middleware(VisitMiddleware, purchase, key=user_of, **carried)
    return Starlette(routes=routes, middleware=[sessions] if BARE else [sessions, visits])


app = shop(carrier=COOKIE)
app_with_sessions = shop(carrier=Session(find=lambda scope: scope["session"]))
