"""
Tables of the pages that list closed sets say what the code says.
"""

import ast
import re

import pytest
from click import Command, Group
from pages import ROOT, blocks_of
from prometheus_client import CollectorRegistry

import cutover
from cutover.cli.app import cli as command_line
from cutover.cli.failures import ExitCode
from cutover.core.backend import Reason
from cutover.core.checkin import InstanceState
from cutover.core.gitops import SECTIONS
from cutover.core.verdict import Verdict
from cutover.engines.registry import SCHEMES
from cutover.ports.store import Durability
from cutover.router.counting import OUTCOMES, VisitCells
from cutover.router.metrics.fleet_gauges import FleetGauges
from cutover.router.metrics.instruments import Instruments

REFERENCE = ROOT / "docs/reference"
NO_PARAGRAPHS = r"^```.*?^```$|^\|[^\n]*$|^ *(?:[-*]|\d+\.) [^\n]*$|^---\n.*?^---$"
SOURCE = ROOT / "cutover"
HEAD = re.compile(r"^\|.*\n\|---.*\n", re.MULTILINE)
ROW = re.compile(r"^\| `?([^`|]+?)`? \|", re.MULTILINE)
EVENT = re.compile(r"cutover\.[a-z_]+")
VARIABLE = re.compile(r"\b(CUTOVER_[A-Z_]+)\b")


def first_cells(page, heading=None):
    """
    Give the first cell of each row of a page's tables, or of those below one heading.
    """
    text = (REFERENCE / page).read_text()
    if heading is not None:
        text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = ROW.findall(HEAD.sub("", text))
    assert len(cells) == len(set(cells)), "a row stands twice"
    return set(cells)


def rows(page):
    """
    Give the rows of a page's tables, as lists of cells without backquotes.
    """
    lines = (REFERENCE / page).read_text().splitlines()
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def logging_modules():
    """
    Give the modules that log what operators should know: those of routers, of middleware and of the relay.
    """
    return [path for folder in ("router", "integrations", "server") for path in (SOURCE / folder).rglob("*.py")]


def events_in(tree):
    """
    Give every event that code names: any text of that form, but a constant of the module or a key in brackets.
    """
    constants = (node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    keys = (node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript))
    others = {id(node) for node in (*constants, *keys)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in others)
    return {node.value for node in texts if EVENT.fullmatch(str(node.value))}


def registered():
    """
    Give every metric that routers and the fleet gauges register, by its name.
    """
    registry = CollectorRegistry()
    kept = (Instruments(registry), FleetGauges(registry))
    assert kept
    collectors = {collector for names in registry._collector_to_names.items() for collector in names[:1]}
    return {
        f"{collector._name}_total" if collector._type == "counter" else collector._name: collector
        for collector in collectors
    }


def test_metrics():
    """
    The page lists every metric with its type and its labels, and no other.
    """
    listed = {row[0]: (row[1].partition(",")[0], row[2]) for row in rows("metrics.md") if row[0].startswith("cutover_")}
    there = {
        name: (one._type, ", ".join(label for label in one._labelnames if label != "migration"))
        for name, one in registered().items()
    }

    assert listed == there


def test_fleet_metrics_are_marked():
    """
    The page marks exactly the fleet-wide series.
    """
    registry = CollectorRegistry()
    FleetGauges(registry)
    marked = {row[0] for row in rows("metrics.md") if row[1:] and row[1].endswith(", F")}

    assert marked == {name for names in registry._collector_to_names.values() for name in names}


@pytest.mark.parametrize(
    ("page", "heading", "values"),
    [
        ("metrics.md", "`reason`", {reason.value for reason in Reason}),
        ("metrics.md", "`outcome`", set(OUTCOMES)),
        ("metrics.md", "`outcome` of shadow comparisons", set(Verdict)),
        ("metrics.md", "`event`", {*VisitCells.__slots__, "bypassed"}),
        ("metrics.md", "`state`", {state.value for state in InstanceState}),
    ],
)
def test_labels(page, heading, values):
    """
    The page lists every value of a label with a closed set.
    """
    assert first_cells(page, heading) == values


def test_log_events():
    """
    The page lists every event that routers and relays log, and no other.
    """
    logged = {event for path in logging_modules() for event in events_in(ast.parse(path.read_text()))}

    assert first_cells("log-events.md") == logged


def test_levels():
    """
    The page gives an event the level that it is logged at, wherever event and level stand in one call.
    """
    call = re.compile(r'log\.(info|warning|error)\(\s*"(cutover\.[a-z_]+)"')
    listed = {row[0]: row[1] for row in rows("log-events.md")}
    found = {e: level for path in logging_modules() for level, e in call.findall(path.read_text())}

    assert len(found) > 10
    assert {event: listed[event] for event in found} == found


def test_exit_codes():
    """
    The page lists every exit code of the command line with its name; the overview of the verbs lists the same numbers.
    """
    listed = {int(row[0]): row[1] for row in rows("exit-codes.md") if row[0].isdecimal()}

    assert listed == {code.value: code.name for code in ExitCode}
    assert first_cells("command-line.md", "Exit codes") == {str(c.value) for c in ExitCode if c < 70}


def test_environment():
    """
    The page lists every variable that the source names, besides that of click's completion.
    """
    named = {name for path in SOURCE.rglob("*.py") for name in VARIABLE.findall(path.read_text())}
    listed = {name for name in first_cells("environment.md") if name.startswith("CUTOVER")}

    assert listed == named - {"CUTOVER_COMPLETE"}


def test_verbs():
    """
    The page lists every verb of the command line.
    """
    page = (REFERENCE / "command-line.md").read_text()
    verbs = set()
    for name, command in command_line.commands.items():
        assert isinstance(command, Command)
        verbs |= {f"{name} {inner}" for inner in command.commands} if isinstance(command, Group) else {name}

    assert {verb for verb in verbs if not re.search(rf"`{verb}\b", page)} == set()


def test_ledger():
    """
    The page names every field of a change, every member of the state, and every problem that a check may find.
    """
    with cutover.control("memory:docs", actor="test") as control:
        flows = {"pay": cutover.core.migration.Flow(name="pay")}
        change = control.apply(cutover.Migration(name="shop", title="Shop", old="a", new="b", salt="shop", flows=flows))
        control.set("pay", 0, shadow=5, reason="compare")
        state = control.snapshot().state()
    fields = {cell for row in rows("ledger.md") for cell in row[0].split(", ")}
    finders = (SOURCE / "core/ledger.py").read_text() + (SOURCE / "operations/audit.py").read_text()
    codes = set(re.findall(r'(?:code=|_with\([a-z]+, )"([a-z_]+)"', finders))

    assert set(change.document()) | set(state) | codes == fields - {"field", "member", "code", "---"}


def test_file_source():
    """
    The page lists every key that a rollout has beside its definition.
    """
    listed = {re.match(r"\[*([a-z_]+)", row[0])[1] for row in rows("file-source.md")[2:]}

    assert listed == set(SECTIONS)


def test_stores():
    """
    The page lists every scheme of a store; its explanation lists every word of durability.
    """
    schemes = {url.partition(":")[0] for row in rows("stores.md")[2:] for url in row[0].split(", ")}
    words = (ROOT / "docs/explanation/stores.md").read_text()

    assert schemes == set(SCHEMES)
    assert all(f"\n| {word.value} |" in words for word in Durability)


def test_architecture():
    """
    The page tells of every folder of the package, and of every module of the router once.
    """
    table = rows("../explanation/architecture.md")
    inside = next(number for number, row in enumerate(table) if row[-1] == "modules")
    told, folder = [], ""
    for row in table[inside + 2 :]:
        folder = row[0] or folder
        told += [f"{folder}/{name}.py" for name in row[2].split()]
    modules = [path for path in (SOURCE / "router").rglob("*.py") if path.stem != "__init__"]

    assert {row[0] for row in table[2:inside]} == {
        f"cutover/{path.parent.name}" for path in SOURCE.glob("*/__init__.py")
    }
    assert sorted(told) == sorted(path.relative_to(SOURCE.parent).as_posix() for path in modules)


def test_definition():
    """
    The page lists every key of the definition: each is accepted, and the error for an unknown one names no other.
    """
    listed = {}
    section = ""
    for line in (REFERENCE / "definition.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.strip("# `[]").partition(".")[0]
        if line.startswith("| `"):
            listed.setdefault(section, set()).update(re.findall(r"`([a-z_]+)`", line.split("|")[1]))

    assert listed[""] | set(listed) - {""} == allowed_at("", "")
    for name in ("flows", "journeys", "work", "cohorts"):
        inner = 'flows = ["pay"]\n' if name == "journeys" else ""
        assert listed[name] == allowed_at(f"[{name}.one]\n{inner}", f"{name}.one.")


def allowed_at(section, prefix):
    """
    Ask the reader of definitions what it allows beside an unknown key.
    """
    top = 'name = "shop"\nold = "a"\nnew = "b"\n'
    flows = "[flows.pay]\n"
    text = f"{top}unknown = 1\n{flows}" if not section else f"{top}{flows}{section}unknown = 1\n"
    with pytest.raises(
        cutover.ConfigurationError, match=rf"{re.escape(prefix)}unknown is unknown; allowed: "
    ) as caught:
        cutover.Migration.parse(text)
    return set(str(caught.value).partition("allowed: ")[2].split(", "))


def test_nothing_ends_without_its_store():
    """
    No page, docstring or application of the demo ends a process because its router is not ready: it goes on, on OLD.
    """
    shown = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("cutover/**/*.py"), *ROOT.glob("demo/*.py")]
    ends = re.compile(r"assert [^\n]*wait_ready|wait_ready[^\n]*\n\s+(?:raise|sys\.exit|exit|return)\b")

    assert [path for path in shown if "_build" not in path.parts and ends.search(path.read_text())] == []


def test_pages_keep_their_form():
    """
    A page has one title; a how-to begins with a verb, and no line of a paragraph holds two sentences.
    """
    for page in ROOT.glob("docs/**/*.md"):
        text = re.sub(NO_PARAGRAPHS, "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, page
        assert re.findall(r"[a-z`)]\. [A-Z`]", text) == [], page


def test_no_block_waits_without_end():
    """
    No block of a page loops until something has happened: it would hang where that never happens.
    """
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        for block in blocks_of(page):
            endless = r"^\s*while (True|1)\b" if block.language == "python" else r"\b(until|while)\b.*\bdo\b"
            assert not re.search(endless, block.body, re.MULTILINE), f"{page}, line {block.line}"
