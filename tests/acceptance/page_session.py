"""
A reader of a page, as a process: takes blocks as lines of JSON, runs them in one namespace, and says what was wrong.

Only the standard library is imported, so that a page sees what a reader sees.
"""

import doctest
import io
import json
import sys
import traceback
from contextlib import redirect_stdout

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(source: str, name: str, namespace: dict) -> str:
    """
    Run one block, an interactive session or plain code; give what is wrong with it, or nothing.
    """
    try:
        if source.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(source, namespace, name, name, 0)
            report = io.StringIO()
            doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.write, clear_globs=False)
            namespace.update(test.globs)
            return report.getvalue()
        exec(compile(source, name, "exec"), namespace)
    except BaseException:  # noqa: BLE001 - the test wants to see whatever it is
        return traceback.format_exc()
    return ""


def main() -> None:
    """
    Serve until the input ends.
    """
    namespace = {"__name__": "__main__"}
    answers = sys.stdout
    with redirect_stdout(sys.stderr):  # all the time: a router logs between two blocks, too
        for line in sys.stdin:
            asked = json.loads(line)
            wrong = run(asked["source"], asked["name"], namespace)
            print(json.dumps(wrong), file=answers, flush=True)


if __name__ == "__main__":
    main()
