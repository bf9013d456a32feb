"""
What the pages show is run: files are written, commands and code are carried out, and outputs are compared.

In outputs `...` stands for anything, and white space counts as one blank.
"""

import doctest
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks_of

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/tutorial/*.md")), *sorted(ROOT.glob("docs/how-to/*.md"))]
SHOWN = {"sh", "text", "toml", "yaml", "ini", "promql", "json"}  # to read, or for systems that no test has
RUN = {"python", "console"}
SAME = doctest.OutputChecker()
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
END = "-- end of the command --"


class Reader:
    """
    Somebody who follows a page to the letter, in an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "XDG", "PROM"))}
        scripts = str(Path(sys.executable).parent)
        self.environment = {
            **kept,
            "PATH": f"{scripts}{os.pathsep}{kept['PATH']}",
            "HOME": str(folder / "home"),
            "PORT": str(free_port()),
            "COLUMNS": "100",
            "PYTHONUTF8": "1",
        }
        self.shell = self._start("bash", "--norc", stderr=subprocess.STDOUT)
        self.python = self._start(sys.executable, str(Path(__file__).with_name("page_session.py")))

    def _start(self, *command, stderr=None):
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            start_new_session=True,
        )

    def close(self):
        """
        End the two processes, and what they started.
        """
        for process in (self.shell, self.python):
            process.stdin.close()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            process.stdout.close()

    def follow(self, block):
        """
        Do what a block says; give what was wrong, or nothing.
        """
        if block.name:
            (self.folder / block.name).write_text(block.body)
        elif block.language == "python":
            return self._execute(block)
        elif block.language == "console":
            return "".join(self._command(command, expected) for command, expected in commands_of(block.body))
        return ""

    def _execute(self, block):
        request = json.dumps({"source": block.body, "name": f"line {block.line}"})
        self.python.stdin.write(request + "\n")
        self.python.stdin.flush()
        return json.loads(self.python.stdout.readline())

    def _command(self, command, expected):
        if command.endswith("&"):
            self._say(f"{command}\n")
            return ""
        self._say(f"{{ {command}\n}} </dev/null\necho '{END}' $?\n")
        output = ""
        while not (line := self.shell.stdout.readline()).startswith(END):
            output += line
            if not line:
                return f"$ {command}\nended the shell after:\n{output}"
        code = int(line.removeprefix(END))
        if code == 0 and SAME.check_output(expected, output, OPTIONS):
            return ""
        return f"$ {command}\nexit code {code}; expected:\n{expected}\ngot:\n{output}"

    def _say(self, text):
        self.shell.stdin.write(text)
        self.shell.stdin.flush()


def free_port():
    """
    Find a port that nobody listens on.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands_of(body):
    """
    Split a transcript into commands and what they print; a command that ends in a backslash goes on.
    """
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert parts[0] == "", "a transcript begins with a command"
    for part in parts[1:]:
        command, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", part, re.DOTALL).groups()
        yield command, output


@pytest.fixture
def reader(tmp_path):
    """
    A reader with an empty folder.
    """
    one = Reader(tmp_path)
    yield one
    one.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page, reader):
    """
    Whoever follows the page gets what it shows.
    """
    blocks = blocks_of(page)

    assert {block.language for block in blocks} <= RUN | SHOWN
    for block in blocks:
        wrong = reader.follow(block)
        assert not wrong, f"{page}, line {block.line}:\n{wrong}"


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "expected:\ntwo"),
        ("```console\n$ exit 3\n```\n", "ended the shell"),
        ("```console\n$ false\n```\n", "exit code 1"),
        ("```python\n>>> 1 + 1\n3\n```\n", "Got:\n    2"),
        ("```python\nraise ValueError('no')\n```\n", "ValueError: no"),
    ],
)
def test_wrong_page(tmp_path, reader, block, complaint):
    """
    A page that shows what does not happen is found.
    """
    page = tmp_path / "page.md"
    page.write_text(block)

    (only,) = blocks_of(page)

    assert complaint in reader.follow(only)
