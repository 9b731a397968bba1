"""Parameters in the query, the path and headers, compiled from the contract."""

import re
from collections.abc import Mapping
from typing import Any

from openapi.contract import Json
from openapi.faults import Faults, parameter_fault
from openapi.schemas import Schema, converter

# Python converts no more than 4,300 digits.
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,4000}")


class Parameter:
    """One parameter of an operation."""

    def __init__(self, description: Mapping[str, Json]) -> None:
        """Compile a resolved parameter object."""
        self.name: str = description["name"]
        self.where: str = description["in"]
        self.argument = self.name.lower().replace("-", "_")
        self._key = self.name.lower() if self.where == "header" else self.name
        self._required: bool = description.get("required", False)
        schema = description["schema"]
        self._default = schema.get("default")
        self._is_number = schema["type"] == "integer"
        self._schema = Schema(schema)
        self._convert = converter(schema)

    def read(self, given: Mapping[str, str], faults: Faults) -> Any:
        """Return the parameter's value, its default, or None; add what is wrong."""
        text = given.get(self._key)
        if text is None:
            if self._required:
                self._fault("is required", faults)
            return self._default
        value: Json = text
        if self._is_number and WHOLE_NUMBER.fullmatch(text):
            value = int(text)
        if self._schema.allows(value):
            return self._convert(value)
        for fault in self._schema.faults(value):
            self._fault(fault.detail, faults)
        return None

    def _fault(self, detail: str, faults: Faults) -> None:
        faults.append(parameter_fault(self.name, detail))
