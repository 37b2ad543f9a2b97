"""The infrastructure's template: read from its file, and its functions worked out.

CloudFormation works them out itself; what is compared with the account afterwards needs them too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

TEMPLATE: Final = Path(__file__).resolve().parents[2] / "infrastructure" / "lake.yaml"
_VARIABLE: Final = re.compile(r"\$\{([^}!]+)\}")

Template = dict[str, Any]
_ABSENT: Final = object()


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref Bucket`` is ``{Ref: Bucket}``."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - there is no fourth kind
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def read_template(path: Path = TEMPLATE) -> Template:
    """Return the template in its long form, as JSON would hold it."""
    template: Template = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return template


def body(template: Template) -> str:
    """Return the template as it is sent: CloudFormation takes 51,200 bytes, and no YAML of this length."""
    return json.dumps(template, separators=(",", ":"))


@dataclass(frozen=True)
class Resolver:
    """Works out the functions of a template.

    Attributes
    ----------
    template : dict
        As :func:`read_template` returns it.
    parameters : mapping of str to str
        Those that differ from their defaults.
    names : mapping of str to str
        What ``Ref`` gives: pseudo parameters and, where known, resources.
    attributes : mapping of (str, str) to str
        What ``Fn::GetAtt`` gives, where known.
    """

    template: Template
    parameters: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def holds(self, condition: str) -> bool:
        """Return whether a condition of the template holds."""
        return bool(self.value(self.template["Conditions"][condition]))

    def value(self, node: Any) -> Any:
        """Return a part of the template with its functions worked out.

        Raises
        ------
        KeyError
            It refers to something that is not known.
        """
        found = self._value(node)
        return None if found is _ABSENT else found

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self._value, node) if value is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, argument)
        pairs = ((key, self._value(value)) for key, value in node.items())
        return {key: value for key, value in pairs if value is not _ABSENT}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _ABSENT
        declared = self.template["Parameters"].get(name)
        if declared is None:
            return self.names[name]
        value = str(self.parameters.get(name, declared.get("Default", "")))
        return value.split(",") if declared["Type"] == "CommaDelimitedList" else value

    def _sub(self, argument: Any) -> str:
        text, local = (argument, {}) if isinstance(argument, str) else argument

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name in local:
                return str(self._value(local[name]))
            if "." in name:
                return self._attribute(name.split(".", 1))
            return str(self._ref(name))

        return _VARIABLE.sub(replaced, text)

    def _attribute(self, argument: list[str]) -> str:
        logical_id, name = argument
        return self.attributes[logical_id, name]

    def _if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self._value(then if self.holds(condition) else otherwise)


_FUNCTIONS: Final[Mapping[str, Callable[[Resolver, Any], Any]]] = {
    "Ref": Resolver._ref,  # noqa: SLF001 - the table belongs to the class
    "Fn::Sub": Resolver._sub,  # noqa: SLF001
    "Fn::GetAtt": Resolver._attribute,  # noqa: SLF001
    "Fn::If": Resolver._if,  # noqa: SLF001
    "Fn::Equals": lambda self, pair: self.value(pair[0]) == self.value(pair[1]),
    "Fn::Not": lambda self, one: not self.value(one[0]),
    "Fn::And": lambda self, some: all(self.value(one) for one in some),
    "Condition": lambda self, name: (
        self.holds(name) if isinstance(name, str) else {"Condition": self.value(name)}
    ),
    "Fn::Select": lambda self, pair: self.value(pair[1])[int(pair[0])],
}
