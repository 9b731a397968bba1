"""Where it is measured: one PostgreSQL, the services beside each other, one at a time busy."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg

from benchmarks import machine
from benchmarks.dataset import Dataset, configure
from benchmarks.drive import Figures, Load, drive
from benchmarks.scenarios import Scenario
from benchmarks.stacks import Running, Stack, running
from models import embedded

WARM_UP_SECONDS = 1


class Laboratory:
    """Services that run, and the data that they work on."""

    def __init__(self, dataset: Dataset, services: list[Running], folder: Path) -> None:
        """Keep what is running; write requests to files in `folder`."""
        self.dataset = dataset
        self.services = services
        self.layout = machine.layout()
        self.database = postmaster(dataset.urls.superuser)
        machine.move(self.database, self.layout.database)
        self._folder = folder
        self._clean = True

    def fill(self, crowd: int) -> None:
        """Go on with a crowd of so many users."""
        self.dataset.fill(crowd)
        self._clean = True

    def measure(self, service: Running, scenario: Scenario, seconds: int) -> Figures:
        """Drive a service for some seconds, when it is warm."""
        if not self._clean:
            self.dataset.reset()
        self._clean = not scenario.writes
        requests = self._requests(scenario)
        for duration in (WARM_UP_SECONDS, seconds):
            load = Load(requests, scenario.connections, duration, self.layout.load)
            figures = drive(service.url, load, service.process, self.database)
        return figures

    def _requests(self, scenario: Scenario) -> Path:
        crowd = self.dataset.crowd
        file = self._folder / f"{scenario.key} of {crowd}.requests"
        if not file.exists():
            written = (b"%d\n%b\n" % (len(one), one) for one in scenario.requests(crowd))
            file.write_bytes(b"".join(written))
        return file


@contextmanager
def laboratory(stacks: Iterable[Stack]) -> Iterator[Laboratory]:
    """Start PostgreSQL and the services; everything ends with the block."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        with embedded.running(folder) as urls:
            configure(urls, folder)
        urls = held.enter_context(embedded.running(folder))
        print("Loading the tasks.", flush=True)
        dataset = Dataset(urls, folder)
        cores = machine.layout().service
        services = [
            held.enter_context(running(stack, dataset.urls, folder, cores)) for stack in stacks
        ]
        yield Laboratory(dataset, services, folder)


def postmaster(url: str) -> psutil.Process:
    """Find the process that all of PostgreSQL's processes descend from."""
    with psycopg.connect(url) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        parent = backend.parent()
        assert parent is not None
        return parent
