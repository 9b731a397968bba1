"""The operations of a contract, read independently of Connexion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from openapi.contract import Contract, Json

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True)
class Operation:
    """One operation of a contract, references resolved.

    `parameters` are parameter objects, those of the path item included; `body` is the request
    body object, or None.
    """

    operation_id: str
    method: str
    path: str
    parameters: tuple[Mapping[str, Json], ...]
    body: Mapping[str, Json] | None
    responses: Mapping[str, Json]
    secured: bool

    @property
    def statuses(self) -> set[str]:
        """The statuses that are documented one by one."""
        return set(self.responses) - {"default"}

    def response(self, status: int) -> Mapping[str, Json]:
        """Return the response object for a status, which may be that of `default`."""
        found: Mapping[str, Json] = self.responses.get(str(status), self.responses["default"])
        return found


def operations_of(contract: Contract) -> dict[str, Operation]:
    """Return every operation by its operationId, in the order of the document."""
    return {operation.operation_id: operation for operation in _walk(contract)}


def _walk(contract: Contract) -> Iterator[Operation]:
    for path, item in contract.document["paths"].items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if method not in item:
                continue
            description = contract.resolve(item[method])
            yield Operation(
                operation_id=description["operationId"],
                method=method.upper(),
                path=path,
                parameters=(
                    *contract.resolve(shared),
                    *description.get("parameters", []),
                ),
                body=description.get("requestBody"),
                responses=description["responses"],
                secured=bool(description.get("security", contract.document["security"])),
            )
