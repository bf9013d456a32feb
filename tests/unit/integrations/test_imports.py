"""
What needs no framework can be used without one.
"""

import subprocess
import sys

FRAMEWORKS = ("starlette", "fastapi", "flask", "werkzeug", "django", "asgiref", "celery", "kombu", "httpx")


def test_without_frameworks():
    """
    Middleware for the two protocols, carriers and the headers of tasks need the standard library alone.
    """
    code = (
        f"import sys\nfor name in {FRAMEWORKS!r}: sys.modules[name] = None\n"
        "import cutover.integrations, cutover.integrations.asgi, cutover.integrations.wsgi, cutover.integrations.celery"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr


def test_flask_context_without_a_request():
    """
    An application of Flask whose tests make a context of their own answers in it as before.
    """
    import flask
    from visitors import shop

    from cutover.integrations.flask import carry_visits

    app = flask.Flask("shop")
    carry_visits(app, shop().journey("purchase"), key=None)
    with app.test_request_context():
        answer = app.process_response(flask.Response("as before"))

    assert "Set-Cookie" not in answer.headers
    assert answer.data == b"as before"
