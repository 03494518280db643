"""Runs lines of AWS's command line, one of standard input after another, all in this process. With the argument elsewhere, what
the lines are about may be missing: they are right if that is all that is wrong."""

import contextlib
import io
import shlex
import sys

from awscli.clidriver import create_clidriver

failed = 0
for line in sys.stdin.read().splitlines():
    words = shlex.split(line)
    assert words[0] == "aws", line
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = create_clidriver().main(words[1:])
        except SystemExit as wrong_options:
            code = wrong_options.code
    missing = sys.argv[1:] == ["elsewhere"] and "(ResourceNotFoundException)" in said.getvalue()
    if code != 0 and not missing:
        failed += 1
        print(f"{line}\nexit code {code}: {said.getvalue()}")
sys.exit(1 if failed else 0)
