"""The testbed: one PostgreSQL server and the services, of which one at a time is loaded."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.client import conditional
from benchmarks.cpu import cpu_layout, set_affinity
from benchmarks.database import (
    DATABASE,
    DatabaseUrls,
    configure_server,
    create_database,
    database_urls,
    postmaster,
)
from benchmarks.dataset import Dataset
from benchmarks.load import Load, Measurement, run_load
from benchmarks.processes import RunningService, migrate, running
from benchmarks.scenarios import Scenario
from benchmarks.services import Service
from models import embedded

WARM_UP_SECONDS = 1


class Testbed:
    """Running services and their datasets."""

    def __init__(
        self, datasets: Mapping[str, Dataset], services: list[RunningService], directory: Path
    ) -> None:
        """Take datasets by database; request files are written to `directory`."""
        self.datasets = datasets
        self.services = services
        self.layout = cpu_layout()
        self.postmaster = postmaster(datasets[DATABASE].urls.superuser)
        set_affinity(self.postmaster, self.layout.database)
        self._directory = directory

    def dataset(self, running: RunningService) -> Dataset:
        """Return the dataset that a service works on."""
        return self.datasets[running.service.database]

    def load_data(self, users: int) -> None:
        """Replace the data in every database: this number of regular users."""
        for dataset in self.datasets.values():
            dataset.load(users)

    def measure(self, running: RunningService, scenario: Scenario, seconds: int) -> Measurement:
        """Warm a service up, then measure it under load for some seconds."""
        dataset = self.dataset(running)
        dataset.prepare_run(writes=scenario.writes)
        requests = self._request_file(running, scenario)
        groups = running.service.workers if scenario.pause_ms else 1
        for duration in (WARM_UP_SECONDS, seconds):
            load = Load(
                requests,
                scenario.connections * groups,
                duration,
                self.layout.load,
                scenario.pause_ms,
            )
            measurement = run_load(running.url, load, running.process, self.postmaster)
        return measurement

    def _request_file(self, running: RunningService, scenario: Scenario) -> Path:
        users = self.dataset(running).users
        file = self._directory / f"{scenario.key} {users}.requests"
        if scenario.polls or not file.exists():
            requests = scenario.requests(users)
            if scenario.polls:  # entity tags change when the data are restored
                requests = [conditional(running, request) for request in requests]
            file.write_bytes(b"".join(b"%d\n%b\n" % (len(one), one) for one in requests))
        return file


@contextmanager
def running_testbed(services: Iterable[Service]) -> Iterator[Testbed]:
    """Run PostgreSQL and the services until the block ends.

    Raises SetupError if a service cannot be migrated or started.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        with embedded.running(directory) as embedded_urls:
            configure_server(database_urls(embedded_urls, directory))
        embedded_urls = stack.enter_context(embedded.running(directory))
        urls = database_urls(embedded_urls, directory)
        datasets: dict[str, Dataset] = {}
        started = []
        for service in services:
            if service.database not in datasets:
                print(f"Loading the tasks for {service.title}.", flush=True)
                datasets[service.database] = create_dataset(service, urls)
            service_urls = datasets[service.database].urls
            started.append(
                stack.enter_context(
                    running(
                        service, service_urls, directory, cpu_layout(service.workers).service
                    )
                )
            )
        yield Testbed(datasets, started, directory)


def create_dataset(service: Service, urls: DatabaseUrls) -> Dataset:
    """Create a service's database unless it exists, create its tables, and load the data."""
    if service.database != DATABASE:
        create_database(urls, service.database)
    urls = urls.for_database(service.database)
    migrate(service, urls)
    return Dataset(urls)
