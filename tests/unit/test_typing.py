"""
The public API has the types that users write against.
"""

import re
import subprocess
import sys

import pytest
from pages import ROOT

PROGRAMS = sorted((ROOT / "tests/typing").glob("*.py"))


MYPY = (sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-incremental")
PYRIGHT = (sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
SHOP = """
import httpx
import cutover
import cutover.testing
from cutover.integrations import Cookie, asgi, django, visit_of, wsgi
from cutover.integrations.celery import task_headers, task_visit
from cutover.integrations.flask import carry_visits
from cutover.integrations.httpx import AsyncSwitchTransport, SwitchTransport

router = cutover.connect("sqlite:///cutover.db")
pay = router.flow("pay")
purchase = router.journey("purchase")
visit = purchase.enter("user-42")
homes = cutover.homes("sqlite:///homes.db")
control = cutover.control("sqlite:///cutover.db")
""".strip()
MISUSES = [
    "cutover.connect(store=42)",
    "cutover.connect(migratoin='shop')",
    "cutover.Bakcend",
    "cutover.Backend.NWE",
    "cutover.Reason.percnt",
    "cutover.testing.StroeContract",
    "router.flwo('pay')",
    "router.flow(b'pay')",
    "router.wait_ready(tiemout=5)",
    "router.on_change(42)",
    "router.on_change(lambda snapshot: snapshot.vresion)",
    "pay.route()",
    "pay.route('u', hme='new')",
    "pay.route('u', cohort=42)",
    "pay.route('u').vlaue",
    "pay.decide()",
    "pay.decide('u', hme='new')",
    "pay.decide('u').bakcend",
    "pay.peek('u', cohrt='staff')",
    "pay.request('u', hme='new')",
    "pay.request('u').bakcend",
    "pay.rotue('u')",
    "pay.switch(old=len)",
    "pay.switch(old=len, new=len, saef=True)",
    "pay.write(old=len, new=len)",
    "purchase.enter('u', tokne='')",
    "purchase.enter('u').sides['pay'].vlaue",
    "visit.bakcend",
    "visit.leave(now=True)",
    "homes.claim('order', 1)",
    "homes.find('order', 1).value",
    "homes.fnid('order', 1)",
    "homes.find_many('order', [1])[1].value",
    "control.set('pay', 25)",
    "control.set('pay', [25], reason='')",
    "control.set('pay', 25, reason='', cohrt='staff')",
    "control.override('pay', 'u', 42, reason='')",
    "control.freeze(reason='').vresion",
    "control.status().flwos",
    "control.explain('pay', 'u', hme='new')",
    "control.verify().okay",
    "cutover.testing.router(pay=25, cohrot_of=len)",
    "cutover.testing.router(pay='new').set(pay=None)",
    "cutover.testing.router(pay='new').flow('pay').route('u', hme='new')",
    "asgi.VisitMiddleware(asgi, purchase, key=None)",
    "wsgi.VisitMiddleware(lambda environ, start: [], purchase, kee=None)",
    "django.VisitMiddleware(pay, key=None)",
    "carry_visits(None, purchase, key=None)",
    "Cookie(secrue=False)",
    "visit_of({}, jounrey='purchase')",
    "task_headers('visit')",
    "task_visit(None, purchase, 'u', hme='old')",
    "SwitchTransport(pay, old='', new='', kee=None)",
    "SwitchTransport(pay, old='', new='', transport=httpx.AsyncHTTPTransport())",
    "AsyncSwitchTransport(pay, old='')",
]
MISUSED_LATER = """
class Payments:
    def charge(self, user: str) -> None: ...
    switched = pay.switch(old=charge, new=charge)
Payments().switched()
Payments().switched('user-42', 1)
Payments().switched(42)
async def later() -> None:
    (await homes.afind('order', 1)).value
    (await homes.aclaim('order', 1, 'new')).vlaue
    await router.wait_ready_async(tiemout=1)
    (await router.wait_ready_async()).vlaue
    async with pay.request('u') as request:
        request.fial('broken')
try:
    router.flow('pay')
except cutover.Unavailabel:
    pass
""".strip()
WRONG_LATER = (4, 5, 6, 8, 9, 10, 11, 13, 16)  # of those lines, from 1


def run(command, *arguments):
    """
    Check as a user would, without this project's own settings.
    """
    command = [*command, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_api(program):
    """
    A program that uses every public name passes a strict type checker, beside the types of frameworks.
    """
    done = run(MYPY, program)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_misuse(checker, tmp_path):
    """
    A misspelt name, a misspelt keyword and a value of a wrong type are errors for two type checkers, at every handle.
    """
    before = [*SHOP.splitlines(), *MISUSES]
    program = tmp_path / "misuse.py"
    program.write_text("\n".join([*before, MISUSED_LATER]))
    expected = {*range(len(before) - len(MISUSES) + 1, len(before) + 1), *(len(before) + n for n in WRONG_LATER)}

    done = run(checker, program)

    lines = program.read_text().splitlines()
    found = {int(line) for line in re.findall(r"misuse\.py:(\d+)(?::\d+)?(?: -|:) error", done.stdout)}
    assert {n: lines[n - 1] for n in expected ^ found} == {}, done.stdout
