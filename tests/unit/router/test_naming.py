"""
What a router process is called.
"""

import os
import subprocess
import sys
import zipapp

import pytest

from cutover.core.checkin import LONGEST_NAME
from cutover.errors import ConfigurationError
from cutover.router.naming import instance_name

PRINTS = "from cutover.router.naming import program\nprint(program())\n"


@pytest.fixture
def place(tmp_path):
    """
    A folder with a program as a file, as a module, as a package and as an archive.
    """
    (tmp_path / "shop" / "orders").mkdir(parents=True)
    for path in ("manage.py", "shop/web.py", "shop/orders/__main__.py", "shop/orders/__init__.py"):
        (tmp_path / path).write_text(PRINTS if "__init__" not in path else "")
    (tmp_path / "bin").write_text(f"#!{sys.executable}\n{PRINTS}")
    zipapp.create_archive(tmp_path / "shop" / "orders", tmp_path / "orders.pyz")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["manage.py", "runserver"], "manage.py"),
        (["./shop/../manage.py"], "manage.py"),
        (["bin"], "bin"),
        (["-m", "shop.web"], "shop.web"),
        (["-m", "shop.orders", "--fast"], "shop.orders"),
        (["shop/orders"], "orders"),
        (["shop/orders/"], "orders"),
        (["orders.pyz"], "orders.pyz"),
        (["-c", PRINTS], "python"),
        (["-"], "python"),
        ([], "python"),
    ],
)
def test_the_program(place, arguments, name):
    """
    Without a name the process is called by the module or the file that was started.
    """
    environment = {**os.environ, "PYTHONPATH": str(place)}
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env=environment,
        input=PRINTS,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == name


def test_a_program_without_a_name(monkeypatch):
    """
    What embeds Python may have no arguments, or some that no terminal can show.
    """
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.delenv("CUTOVER_INSTANCE", raising=False)
    for argv, name in (([], "python"), (["/srv/a\x1b[31m\u202eb"], "a?[31m?b"), (["x" * 99], "x" * LONGEST_NAME)):
        monkeypatch.setattr(sys, "argv", argv)
        assert instance_name() == name
    monkeypatch.delattr(sys, "argv")
    assert instance_name() == "python"


def test_what_is_given_comes_first(monkeypatch):
    """
    A name in the code comes before the environment, and that before the program; blanks around it do not count.
    """
    monkeypatch.setenv("CUTOVER_INSTANCE", "checkout 東京")

    assert instance_name(" web ") == "web"
    assert instance_name() == "checkout 東京"


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb", "a\x1b[31m", "a\u202eb", "\udc80", 7, b"web"])
def test_a_name_that_cannot_be_shown(monkeypatch, name):
    """
    A name is text that fits into a line; anything else is one error, which says where the name comes from.
    """
    with pytest.raises(ConfigurationError, match=r"^name is .*; allowed: 1 to 64 printable characters"):
        instance_name(name)


def test_a_variable_that_cannot_be_shown(monkeypatch):
    """
    An error in the environment names the variable.
    """
    monkeypatch.setenv("CUTOVER_INSTANCE", "a\tb")

    with pytest.raises(ConfigurationError, match=r"^CUTOVER_INSTANCE is 'a\\tb'; allowed: "):
        instance_name()
