"""Parameters in the query, the path and headers, compiled from the contract."""

import re
from collections.abc import Mapping
from typing import Any

from openapi.contract import Json
from openapi.errors import Errors, parameter_error
from openapi.schemas import Schema, converter

# int() converts at most 4,300 digits.
INTEGER = re.compile(r"-?[0-9]{1,4000}")


BOOLEANS = {"true": True, "false": False}


class Parameter:
    """One parameter of an operation; an array in the query is a repeated parameter."""

    def __init__(self, definition: Mapping[str, Json]) -> None:
        """Compile a resolved parameter object."""
        self.name: str = definition["name"]
        self.location: str = definition["in"]
        self.argument = self.name.lower().replace("-", "_")
        self._key = self.name.lower() if self.location == "header" else self.name
        self._required: bool = definition.get("required", False)
        schema = definition["schema"]
        self.is_array: bool = schema["type"] == "array"
        self._default = schema.get("default")
        self._type: str = schema["type"]
        self._schema = Schema(schema)
        self._convert = converter(schema)

    def validate(self, values: Mapping[str, Json], errors: Errors) -> Any:
        """Return the parameter's value, its default, or None; append what is wrong.

        A value is a string, or a list of strings if the parameter is an array.
        """
        value = values.get(self._key)
        if value is None:
            if self._required:
                errors.append(parameter_error(self.name, "required", "is required"))
            return self._default
        if self._type == "integer" and INTEGER.fullmatch(value):
            value = int(value)
        elif self._type == "boolean":
            value = BOOLEANS.get(value, value)
        if self._schema.is_valid(value):
            return self._convert(value)
        errors.extend(
            parameter_error(self.name, error.code, error.detail)
            for error in self._schema.errors(value)
        )
        return None
