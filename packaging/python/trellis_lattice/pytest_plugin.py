"""pytest fixtures: `trellis`, one process for all workers; `lattice`, a client in an account of the test's own; `http`."""

import itertools
import os
import random
import shutil
import signal
import tempfile

import pytest

import trellis_lattice

_folder = pytest.StashKey()
_accounts = pytest.StashKey()


def pytest_configure(config):
    worker = getattr(config, "workerinput", None)
    if worker is None:  # The process that ends last: it owns the folder, and ends what was started in it.
        config.stash[_folder] = tempfile.mkdtemp(prefix="trellis-pytest-")
        first = 0
    else:
        config.stash[_folder] = worker["trellis_folder"]
        first = 1 + int("".join(filter(str.isdigit, worker["workerid"])) or 0)
    # Accounts of 12 digits: four of the worker's, eight that count from anywhere.
    config.stash[_accounts] = (f"{first + 1:04d}{n % 10**8:08d}" for n in itertools.count(random.randrange(10**8)))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):  # of pytest-xdist, for each worker
    node.workerinput["trellis_folder"] = node.config.stash[_folder]


def pytest_unconfigure(config):
    if hasattr(config, "workerinput"):
        return
    folder = config.stash[_folder]
    try:
        with open(os.path.join(folder, "pid"), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGTERM)
    except (OSError, ValueError):
        pass  # Nobody asked for it, or it has ended.
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def trellis_arguments():
    """More arguments of `trellis dev`. Override it in conftest.py."""
    return []


@pytest.fixture(scope="session")
def trellis(pytestconfig, trellis_arguments):
    """A running `trellis dev`, the same for all workers. The first that asks for it starts it."""
    folder = pytestconfig.stash[_folder]
    try:
        os.close(os.open(os.path.join(folder, "starting"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return trellis_lattice.Trellis.wait(folder, session=trellis_lattice.session())
    process = trellis_lattice.start(folder, *trellis_arguments)
    with open(os.path.join(folder, "pid"), "w", encoding="ascii") as file:
        file.write(str(process.pid))
    # Importing boto3 takes longer than the program needs to start: both at once.
    session = trellis_lattice.session()
    return trellis_lattice.Trellis.wait(folder, alive=lambda: process.poll() is None, session=session)


@pytest.fixture
def trellis_account(pytestconfig, trellis):
    """The id of an account that only this test has, and that is empty again after it."""
    account = next(pytestconfig.stash[_accounts])
    yield account
    trellis.reset(account)


@pytest.fixture
def lattice(trellis, trellis_account):
    """A boto3 client of VPC Lattice in an account of the test's own."""
    return trellis.client(trellis_account)


@pytest.fixture
def http(trellis):
    """An HTTP client that finds services by their names: http.get("http://NAME/")."""
    return trellis_lattice.Http(trellis)
