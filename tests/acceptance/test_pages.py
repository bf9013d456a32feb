"""
What the pages show is run: files are written, commands and code are carried out, and outputs are compared.

In outputs `...` stands for anything, and white space counts as one blank.
"""

import doctest
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pages import ROOT, blocks_of, file_in
from servers.ports import free_port

TUTORIAL = ROOT / "docs/tutorial/first-migration.md"
HOW_TOS = ROOT / "docs/how-to"
PAGES = [ROOT / "README.md", TUTORIAL, *sorted(HOW_TOS.glob("*.md"))]
SHOWN = {"sh", "text", "toml", "yaml", "ini", "promql", "json"}  # to read, or for systems that no test has
RUN = {"python", "console"}
SAME = doctest.OutputChecker()
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
LOOKING = re.compile(r"cutover (status|instances|metrics|explain|mismatches)\b|cutover emergency$")
PATIENCE = 60.0  # seconds until what a process tells the store every few seconds must be seen
LONGEST = 180.0  # seconds for one block
END = "-- end of the command --"


class Reader:
    """
    Somebody who follows a page to the letter, in an empty folder.

    Attributes:
        longest: How many seconds a block may take.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.longest = LONGEST
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUTOVER", "XDG", "PROM"))}
        scripts = str(Path(sys.executable).parent)
        self.environment = {
            **kept,
            "PATH": f"{scripts}{os.pathsep}{kept['PATH']}",
            "HOME": str(folder / "home"),
            "PORT": str(free_port()),
            "COLUMNS": "120",
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
        self._kill()
        for process in (self.shell, self.python):
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait(10)
            process.stdout.close()

    def follow(self, block):
        """
        Do what a block says; give what was wrong, or nothing. A block that goes on for too long is killed.
        """
        watch = threading.Timer(self.longest, self._kill)
        watch.start()
        try:
            return self._follow(block)
        finally:
            watch.cancel()
            watch.join()

    def _kill(self):
        for process in (self.shell, self.python):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _follow(self, block):
        if block.name:
            (self.folder / block.name).write_text(block.body)
        elif block.language == "python":
            return self._execute(block)
        elif block.language == "console":
            return "".join(self._command(command, expected) for command, expected in commands_of(block.body))
        return ""

    def set_up_shop(self):
        """
        Do what every how-to takes for granted: the shop of the tutorial is in the store, and nothing has moved.
        """
        (self.folder / "cutover.toml").write_text(file_in(TUTORIAL, "cutover.toml"))
        wrong = self._command("export CUTOVER_STORE=sqlite:///cutover.db; cutover apply cutover.toml", "...")
        assert not wrong

    def _execute(self, block):
        request = json.dumps({"source": block.body, "name": f"line {block.line}"})
        self.python.stdin.write(request + "\n")
        self.python.stdin.flush()
        answer = self.python.stdout.readline()
        return json.loads(answer) if answer else "it ended Python, or took too long"

    def _command(self, command, expected):
        """
        Run a command and compare; one that only looks is run again while what it shows has yet to happen.
        """
        if command.endswith("&"):
            self._say(f"{command}\n")
            return ""
        until = time.monotonic() + PATIENCE
        while True:
            code, output = self._output(command)
            if code == "0" and SAME.check_output(expected, output, OPTIONS):
                return ""
            if code is None or not LOOKING.match(command) or time.monotonic() > until:
                return f"$ {command}\nexit code {code}; expected:\n{expected}\ngot:\n{output}"

    def _output(self, command):
        """
        Run a command; give its exit code, which is None where it ended the shell, and what it printed.
        """
        self._say(f"{{ {command}\n}} </dev/null\necho '{END}' $?\n")
        output = ""
        for line in self.shell.stdout:
            if line.startswith(END):
                return line.removeprefix(END).strip(), output
            output += line
        return None, output

    def _say(self, text):
        self.shell.stdin.write(text)
        self.shell.stdin.flush()


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
    if page.parent == HOW_TOS:
        reader.set_up_shop()

    assert {block.language for block in blocks} <= RUN | SHOWN
    for block in blocks:
        wrong = reader.follow(block)
        assert not wrong, f"{page}, line {block.line}:\n{wrong}"


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "expected:\ntwo"),
        ("```console\n$ exit 3\n```\n", "exit code None"),
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


@pytest.mark.parametrize(
    "block",
    ["```console\n$ while true; do sleep 0.1; done\n```\n", "```python\nwhile True:\n    pass\n```\n"],
    ids=["shell", "Python"],
)
def test_endless_block(tmp_path, reader, block):
    """
    A block that never comes to its end is wrong, and is ended.
    """
    page = tmp_path / "page.md"
    page.write_text(block)
    reader.longest = 0.5

    (only,) = blocks_of(page)

    assert reader.follow(only)
    assert reader.shell.wait(PATIENCE) == reader.python.wait(PATIENCE) == -signal.SIGKILL
