"""Calls the API through the AWS CLI: its own command line parser, pagination and output, in one process,
since Python needs longer to start than a call takes."""

import contextlib
import io
import json
import os

from awscli.clidriver import create_clidriver
from botocore import xform_name
from network import check


class Caller:
    def __init__(self, attempts=1):
        os.environ["AWS_MAX_ATTEMPTS"] = str(attempts)
        os.environ["AWS_RETRY_MODE"] = "standard"
        self.driver = create_clidriver()
        self.called = set()

    def operations(self):
        return set(self.driver.session.get_service_model("vpc-lattice").operation_names)

    def run(self, operation, parameters, *options):
        """Returns the exit code, standard output and standard error of a command."""
        self.called.add(operation)
        command = ["--endpoint-url", os.environ["TRELLIS_API"], "--output", "json", "vpc-lattice", xform_name(operation, "-")]
        for name, value in parameters.items():
            option = "--" + xform_name(name, "-")
            if isinstance(value, bool):
                command.append(option if value else "--no-" + option[2:])
            elif isinstance(value, list) and all(isinstance(v, str) for v in value):
                command += [option, *value]
            elif isinstance(value, (dict, list)):
                command += [option, json.dumps(value)]
            else:
                command += [option, str(value)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = self.driver.main(command + list(options))
        return code, out.getvalue(), err.getvalue()

    def call(self, operation, parameters, *options):
        code, out, err = self.run(operation, parameters, *options)
        check(code == 0, f"aws {operation} {parameters}: {err}")
        return json.loads(out or "{}")

    def refusal(self, exception, operation, parameters, status):
        code, _, err = self.run(operation, parameters)
        check(code != 0, f"{operation} was not refused")
        check(f"An error occurred ({exception}) when calling the {operation} operation" in err, f"aws {operation}: {err}")
        # The command line shows the message alone.

    def pages(self, operation, parameters, size):
        pages, token = [], None
        while True:
            options = ["--page-size", "1", "--max-items", str(size)] + (["--starting-token", token] if token else [])
            answer = self.call(operation, parameters, *options)
            pages.append(answer["items"])
            token = answer.get("NextToken")
            if not token:
                return pages
