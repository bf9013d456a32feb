"""
Reading `cutover.toml`: each kind of mistake has one message, with the key, the line and what is allowed.
"""

import tomllib
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import altered, any_texts, short

from cutover.core.defined import Cohort, Flow, Journey, WorkItem
from cutover.core.definition import parse_duration
from cutover.core.migration import Migration
from cutover.errors import ConfigurationError

HEAD = """\
name = "shop"
old = "tiktok"
new = "tokopedia"
"""
PAY = """\
[flows.pay]
weight = 27
"""
PURCHASE = """\
[journeys.purchase]
flows = ["pay"]
"""
WHOLE = """\
name = "tokopedia"
title = "TikTok Shop to Tokopedia"
old = "tiktok"            # what people call the two back ends
new = "tokopedia"
started = 2023-12-11
deadline = 2024-04-11     # the end of that day
timezone = "Asia/Jakarta"
salt = "2024"
scheme = "murmur3/1"

[flows.browse]
weight = 20
[flows.cart]
weight = 20.5
[flows.pay]

[journeys.purchase]
flows = ["cart", "pay"]
together = false
idle = "1h30m"
ttl = "1d"

[work.branding]
title = "Texts"
weight = 13

[cohorts.staff]
title = "Employees"
[cohorts.jakarta]
"""
NAME_RULE = "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
WEIGHT_RULE = "a positive number up to 1000000000 with at most 6 decimals"
DAY_RULE = "a date without quotes, such as 2024-04-11"
DURATION_RULE = 'a duration in quotes, such as "30m", "4h" or "1h30m"'
ONCE_RULE = "each flow in at most one journey"
LIST_RULE = 'a list of flows, such as ["cart", "pay"]'
TOP = "name, title, old, new, started, deadline, timezone, salt, scheme, flows, journeys, work, cohorts"


def message_of(text: str | bytes) -> str:
    """
    Give the one error of a definition.
    """
    with pytest.raises(ConfigurationError) as caught:
        Migration.parse(text)
    return str(caught.value)


def test_whole_definition():
    """
    Every key of the file is read, in the order of the file.
    """
    migration = Migration.parse(WHOLE)

    assert migration == Migration(
        name="tokopedia",
        title="TikTok Shop to Tokopedia",
        old="tiktok",
        new="tokopedia",
        started=date(2023, 12, 11),
        deadline=date(2024, 4, 11),
        timezone="Asia/Jakarta",
        salt="2024",
        flows={
            "browse": Flow(name="browse", weight=Decimal(20)),
            "cart": Flow(name="cart", weight=Decimal("20.5")),
            "pay": Flow(name="pay"),
        },
        journeys={
            "purchase": Journey(
                name="purchase",
                flows=("cart", "pay"),
                together=False,
                idle=timedelta(minutes=90),
                ttl=timedelta(days=1),
            )
        },
        work={"branding": WorkItem(name="branding", title="Texts", weight=Decimal(13))},
        cohorts={
            "staff": Cohort(name="staff", title="Employees"),
            "jakarta": Cohort(name="jakarta", title="jakarta"),
        },
    )
    assert list(migration.flows) == ["browse", "cart", "pay"]


def test_defaults():
    """
    What is left out has the default of the reference: title and salt are the name, visits last 30 minutes and 4 hours.
    """
    migration = Migration.parse(HEAD + PAY + PURCHASE)
    journey = migration.journeys["purchase"]

    assert (migration.title, migration.salt, migration.timezone) == ("shop", "shop", "UTC")
    assert (migration.started, migration.deadline) == (None, None)
    assert (journey.together, journey.idle, journey.ttl) == (True, timedelta(minutes=30), timedelta(hours=4))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        # Sides and names.
        (PAY, 1, "name is missing; allowed: text in quotes"),
        (HEAD.replace('"shop"', "5"), 1, "name is 5; allowed: text in quotes"),
        (HEAD.replace('"shop"', '""'), 1, "name is empty or too long; allowed: 1 to 1000 characters"),
        (HEAD.replace("shop", "Shop") + PAY, 1, f"name is named 'Shop'; allowed: {NAME_RULE}"),
        (HEAD.replace("shop", "a" * 65) + PAY, 1, f"name is named '{'a' * 65}'; allowed: {NAME_RULE}"),
        (HEAD.replace("shop", "-a") + PAY, 1, f"name is named '-a'; allowed: {NAME_RULE}"),
        (HEAD.replace("shop", "a\\n") + PAY, 1, f"name is named 'a\\n'; allowed: {NAME_RULE}"),
        ('name = "shop"\nnew = "b"\n', 1, "old is missing; allowed: text in quotes"),
        ('name = "shop"\nold = "b"\n', 1, "new is missing; allowed: text in quotes"),
        (HEAD.replace("tiktok", "new") + PAY, 2, f"old is 'new'; allowed: {NAME_RULE}; not 'new'"),
        (HEAD.replace("tokopedia", "old") + PAY, 3, f"new is 'old'; allowed: {NAME_RULE}; not 'old'"),
        (HEAD.replace("tokopedia", "Toko pedia") + PAY, 3, f"new is 'Toko pedia'; allowed: {NAME_RULE}; not 'old'"),
        (HEAD.replace("tokopedia", "tiktok") + PAY, 3, "new is 'tiktok', as old is; allowed: another name than old"),
        # The rest of the head.
        (HEAD + 'title = ""\n' + PAY, 4, "title is empty or too long; allowed: 1 to 1000 characters"),
        (HEAD + f'title = "{"x" * 1001}"\n', 4, "title is empty or too long; allowed: 1 to 1000 characters"),
        (HEAD + "title = 2024-01-01\n", 4, "title is datetime.date(2024, 1, 1); allowed: text in quotes"),
        (HEAD + 'started = "2024-01-01"\n', 4, f"started is '2024-01-01'; allowed: {DAY_RULE}"),
        (HEAD + "deadline = 2024-01-01T00:00:00Z\n", 4, f"deadline is 2024-01-01 00:00:00+00:00; allowed: {DAY_RULE}"),
        (HEAD + "deadline = 9999-12-31\n" + PAY, 4, "deadline is 9999-12-31; allowed: 1970-01-01 to 9998-12-31"),
        (HEAD + "started = 0001-01-01\n" + PAY, 4, "started is 0001-01-01; allowed: 1970-01-01 to 9998-12-31"),
        (
            HEAD + "started = 2024-01-02\ndeadline = 2024-01-01\n" + PAY,
            5,
            "deadline is 2024-01-01; allowed: 2024-01-02 (started) or later",
        ),
        (HEAD + 'timezone = "Mars"\n' + PAY, 4, "timezone is 'Mars'; allowed: an IANA name such as Asia/Jakarta"),
        (HEAD + 'timezone = "../UTC"\n' + PAY, 4, "timezone is '../UTC'; allowed: an IANA name such as Asia/Jakarta"),
        (HEAD + 'salt = "ä"\n' + PAY, 4, "salt is 'ä'; allowed: 1 to 64 of A-Z, a-z, 0-9 and ._:/@+-"),
        (HEAD + 'scheme = "murmur3/2"\n' + PAY, 4, "scheme is 'murmur3/2'; allowed: \"murmur3/1\""),
        (HEAD + "colour = 1\n" + PAY, 4, f"colour is unknown; allowed: {TOP}"),
        (HEAD + "[flow.pay]\n" + PAY, 4, f"flow is unknown; allowed: {TOP}"),
        # Flows.
        (HEAD, 1, "flows is missing; allowed: at least one [flows.NAME]"),
        (HEAD + "flows = 5\n", 4, "flows is 5; allowed: tables [flows.NAME]"),
        (HEAD + "[flows]\npay = 27\n", 5, "flows.pay is 27; allowed: a table [flows.NAME]"),
        (HEAD + "[[flows.pay]]\n", 4, "flows.pay is [{}]; allowed: a table [flows.NAME]"),
        (HEAD + "[flows.Pay]\n", 4, f"flows.Pay is named 'Pay'; allowed: {NAME_RULE}"),
        (HEAD + "[flows.pay]\nwieght = 27\n", 5, "flows.pay.wieght is unknown; allowed: weight, was"),
        (HEAD + '[flows.pay]\nweight = "27"\n', 5, "flows.pay.weight is '27'; allowed: a positive number"),
        (HEAD + "[flows.pay]\nweight = true\n", 5, "flows.pay.weight is true; allowed: a positive number"),
        (HEAD + "[flows.pay]\nweight = 0\n", 5, f"flows.pay.weight is 0; allowed: {WEIGHT_RULE}"),
        (HEAD + "[flows.pay]\nweight = -1.5\n", 5, f"flows.pay.weight is -1.5; allowed: {WEIGHT_RULE}"),
        (HEAD + "[flows.pay]\nweight = nan\n", 5, f"flows.pay.weight is NaN; allowed: {WEIGHT_RULE}"),
        (HEAD + "[flows.pay]\nweight = inf\n", 5, f"flows.pay.weight is Infinity; allowed: {WEIGHT_RULE}"),
        (HEAD + "[flows.pay]\nweight = 1e-7\n", 5, f"flows.pay.weight is 1E-7; allowed: {WEIGHT_RULE}"),
        (HEAD + "[flows.pay]\nweight = 1000000001\n", 5, f"flows.pay.weight is 1000000001; allowed: {WEIGHT_RULE}"),
        # Journeys.
        (HEAD + PAY + "[journeys.purchase]\n", 6, f"journeys.purchase.flows is missing; allowed: {LIST_RULE}"),
        (
            HEAD + PAY + "[journeys]\npurchase = ['pay']\n",
            7,
            "journeys.purchase is ['pay']; allowed: a table [journeys.NAME]",
        ),
        (
            HEAD + PAY + PURCHASE.replace('["pay"]', '"pay"'),
            7,
            f"journeys.purchase.flows is 'pay'; allowed: {LIST_RULE}",
        ),
        (
            HEAD + PAY + PURCHASE.replace('["pay"]', '["pay", 5]'),
            7,
            f"journeys.purchase.flows is ['pay', 5]; allowed: {LIST_RULE}",
        ),
        (
            HEAD + PAY + PURCHASE.replace('["pay"]', "[]"),
            7,
            "journeys.purchase.flows is []; allowed: at least one flow, each once",
        ),
        (
            HEAD + PAY + PURCHASE.replace('["pay"]', '["pay", "pay"]'),
            7,
            "journeys.purchase.flows is ['pay', 'pay']; allowed: at least one flow, each once",
        ),
        (
            HEAD + PAY + PURCHASE.replace('["pay"]', '["cart"]'),
            7,
            "journeys.purchase.flows names 'cart', which is no flow; allowed: pay",
        ),
        (
            HEAD + PAY + PURCHASE + PURCHASE.replace("purchase", "other"),
            9,
            "journeys.other.flows names 'pay', which journey 'purchase' has already; allowed: " + ONCE_RULE,
        ),
        (
            HEAD + PAY + PURCHASE.replace("purchase", "pay"),
            6,
            "journeys.pay has the name of a flow; allowed: a name that no flow has",
        ),
        (
            HEAD + PAY + PURCHASE.replace("purchase", "'a b'"),
            6,
            f"journeys.a b is named 'a b'; allowed: {NAME_RULE}",
        ),
        (
            HEAD + PAY + PURCHASE + 'together = "yes"\n',
            8,
            "journeys.purchase.together is 'yes'; allowed: true or false",
        ),
        (HEAD + PAY + PURCHASE + "together = 1\n", 8, "journeys.purchase.together is 1; allowed: true or false"),
        (HEAD + PAY + PURCHASE + "idle = 30\n", 8, f"journeys.purchase.idle is 30; allowed: {DURATION_RULE}"),
        (HEAD + PAY + PURCHASE + 'idle = "30"\n', 8, f"journeys.purchase.idle is '30'; allowed: {DURATION_RULE}"),
        (
            HEAD + PAY + PURCHASE + 'idle = "5h"\n',
            8,
            "journeys.purchase.idle is 5:00:00; allowed: whole seconds, 1s up to the ttl of 4:00:00",
        ),
        (
            HEAD + PAY + PURCHASE + 'ttl = "0s"\n',
            8,
            "journeys.purchase.ttl is 0:00:00; allowed: whole seconds, 1s to 365d",
        ),
        (
            HEAD + PAY + PURCHASE + 'ttl = "366d"\n',
            8,
            "journeys.purchase.ttl is 366 days, 0:00:00; allowed: whole seconds, 1s to 365d",
        ),
        (
            HEAD + PAY + PURCHASE + "length = 1\n",
            8,
            "journeys.purchase.length is unknown; allowed: flows, together, ttl, idle",
        ),
        # Work items and cohorts.
        (HEAD + PAY + "[work.branding]\ntitle = 5\n", 7, "work.branding.title is 5; allowed: text in quotes"),
        (HEAD + PAY + "[work.branding]\nweight = 0\n", 7, f"work.branding.weight is 0; allowed: {WEIGHT_RULE}"),
        (HEAD + PAY + "[work.branding]\nparts = 0\n", 7, "work.branding.parts is unknown; allowed: title, weight"),
        (HEAD + PAY + "[work.A]\n", 6, f"work.A is named 'A'; allowed: {NAME_RULE}"),
        (HEAD + PAY + "[cohorts.staff]\ntitle = false\n", 7, "cohorts.staff.title is false; allowed: text in quotes"),
        (HEAD + PAY + "[cohorts.staff]\nparts = 0\n", 7, "cohorts.staff.parts is unknown; allowed: title"),
        (HEAD + PAY + "[cohorts]\nstaff = 'x'\n", 7, "cohorts.staff is 'x'; allowed: a table [cohorts.NAME]"),
        (HEAD + PAY + "[cohorts.A]\n", 6, f"cohorts.A is named 'A'; allowed: {NAME_RULE}"),
    ],
    ids=short,
)
def test_mistake(text, line, message):
    """
    Each kind of mistake is one error that names the key, the line and what is allowed.
    """
    assert message_of(text) == f"cutover.toml, line {line}: {message}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + PAY.replace("27", "0"), 5),
        ((HEAD + PAY.replace("27", "0")).replace("\n", "\r\n"), 5),
        ("\ufeff" + HEAD + PAY.replace("27", "0"), 5),
        ("# \u2028 \x85\n" + HEAD + PAY.replace("27", "0"), 6),
        (HEAD + 'title = """\nmany\n\nlines"""\n' + PAY.replace("27", "0"), 9),
        (HEAD + "flows.pay.weight = 0\n", 4),
        (HEAD + "flows.cart.weight = 1\nflows.pay.weight = 0\n", 5),
        (HEAD + "flows = { cart = {}, pay = { weight = 0 } }\n", 4),
        (HEAD + "[flows]\ncart = { weight = 1 }\npay = { weight = 0 }\n", 6),
        (HEAD + "[flows.pay]\n\n# a note\n\nweight = 0 # another\n", 8),
        (HEAD + '["flows"."pay"]\n"weight" = 0\n', 5),
        (HEAD + PAY.replace("27", "0").removesuffix("\n"), 5),
        (PAY.replace("27", "0").replace("[", "\n[") + "[journeys.x]\nflows = []\n", 1),
    ],
    ids=short,
)
def test_line(text, line):
    """
    The line is that of the key, however the file is laid out.
    """
    assert message_of(text).startswith(f"cutover.toml, line {line}: ")


def test_line_of_a_value_over_several_lines():
    """
    A value that goes on over several lines is found where its key stands.
    """
    text = HEAD + PAY + '[journeys.purchase]\nidle = "1m"\nflows = [\n  "pay",\n  "cart", # not yet\n]\nttl = "2m"\n'

    assert message_of(text) == (
        "cutover.toml, line 8: journeys.purchase.flows names 'cart', which is no flow; allowed: pay"
    )


@pytest.mark.parametrize(
    "text", ["\ufeff" + WHOLE, WHOLE.replace("\n", "\r\n"), WHOLE.encode(), "\ufeff".encode() + WHOLE.encode()]
)
def test_written_elsewhere(text):
    """
    A byte order mark and the line ends of Windows make no difference.
    """
    assert Migration.parse(text) == Migration.parse(WHOLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "cutover.toml is not UTF-8: 'utf-8' codec can't decode byte 0xff in position 0"),
        (WHOLE.encode("utf-16"), "cutover.toml is not UTF-8: "),
        ("\ud800", "cutover.toml is not TOML: "),
        ("x = [\n", "cutover.toml is not TOML: "),
        (HEAD + PAY + PAY, "cutover.toml is not TOML: Cannot declare ('flows', 'pay') twice (at line 6"),
        (HEAD + HEAD, "cutover.toml is not TOML: Cannot overwrite a value (at line 4"),
        ("x = " + "9" * 5000, "cutover.toml is not TOML: "),
        ("x = " + "[" * 5000, "cutover.toml is not TOML: "),
        (HEAD + "[flows.pay]\nweight = 0x" + "f" * 5000, "cutover.toml, line 5: flows.pay.weight is 3980276840"),
        (HEAD + "title = 0x" + "f" * 5000, "cutover.toml, line 4: title is a number too large to show; allowed: text"),
        (HEAD + PAY + PURCHASE + f'ttl = "{"9" * 5000}s"', "cutover.toml, line 8: journeys.purchase.ttl is '99999"),
    ],
    ids=short,
)
def test_hostile_text(text, message):
    """
    A file that no editor writes is one short error as well.
    """
    assert message_of(text).startswith(message)
    assert len(message_of(text)) < 300


def test_file_by_name(tmp_path):
    """
    A file is read from its path, and errors call it by that path.
    """
    path = tmp_path / "cutover.toml"
    path.write_text(WHOLE)
    assert Migration.load(path) == Migration.load(str(path)) == Migration.parse(WHOLE)

    path.write_text("x")
    with pytest.raises(ConfigurationError) as caught:
        Migration.load(path)
    assert str(caught.value).startswith(f"{path} is not TOML: ")


def test_file_that_cannot_be_read(tmp_path):
    """
    A file that is not there, or is a directory, is an error that says so.
    """
    with pytest.raises(ConfigurationError, match=r"/none\.toml: No such file or directory$"):
        Migration.load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r": Is a directory$"):
        Migration.load(tmp_path)


def toml_of(value: object) -> str:
    """
    Write a value as inline TOML.
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_of(str(name))} = {toml_of(item)}" for name, item in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_of, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, bool) or value is None:
        return str(bool(value)).lower()
    return str(value)


@given(st.data())
def test_altered_definition(data):
    """
    A definition altered anywhere is refused with a line, or is one that the ledger can keep.
    """
    document = data.draw(altered(tomllib.loads(WHOLE)))
    whole = document if isinstance(document, dict) else {"name": document}
    text = "".join(f"{toml_of(str(name))} = {toml_of(value)}\n" for name, value in whole.items())

    try:
        migration = Migration.parse(text)
    except ConfigurationError as error:
        assert str(error).startswith(("cutover.toml, line ", "cutover.toml is not TOML"))  # noqa: PT017 - either may be
    else:
        assert migration == Migration.from_document(migration.document())


@given(any_texts | st.binary())
def test_raises_nothing_else(text):
    """
    Any text and any bytes are one `ConfigurationError`: none of them is a definition.
    """
    with pytest.raises(ConfigurationError):
        Migration.parse(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1d1h1m1s", timedelta(days=1, hours=1, minutes=1, seconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_duration(text, span):
    """
    A duration is amounts with units, the largest first.
    """
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text",
    ["", "30", "m", "30m1h", "1.5h", "-1s", "1h 30m", "1H", "\uff13\uff10m", "1w", "999999999d24h", "9" * 5000 + "s"],
    ids=short,
)
def test_no_duration(text):
    """
    Anything else is none.
    """
    assert parse_duration(text) is None


@given(any_texts | st.from_regex(r"\A(\d+[dhms]){0,4}\Z"))
def test_duration_raises_nothing(text):
    """
    Any text is a duration or none, and no duration is negative.
    """
    assert (parse_duration(text) or timedelta(0)) >= timedelta(0)
