"""Light twins of leaves: most leaves of a model are answered from their shapes, and nothing else is asked of them.

A light twin has its own attributes. Its tables of hooks are empty, and are the same for all light twins: one that is
written to refuses, and the model is counted again without light twins. Its parameters and buffers have twins once
somebody looks at them.
"""

import types
from collections import OrderedDict
from operator import itemgetter
from typing import Any, Protocol

import torch
from torch import nn

from ulsam_cost.torch_private import BUFFERS, MODULES, NON_PERSISTENT, PARAMETERS, without_dispatch, without_functions

# What cannot change, or is what it is by its identity.
UNCHANGING: frozenset[type] = frozenset(
    {
        *(int, float, complex, bool, str, bytes, range, slice, type(None), type(...), type(NotImplemented), type),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
        *(types.ModuleType, types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType, property),
        *(classmethod, staticmethod, types.WrapperDescriptorType, types.MethodDescriptorType),
    }
)

State = dict[str, Any]
_PLAIN: State = vars(nn.Module())
_TENSORS = (PARAMETERS, BUFFERS)
TABLES = frozenset(name for name, value in _PLAIN.items() if isinstance(value, dict))
_MOSTLY_EMPTY = tuple(name for name in (*TABLES, NON_PERSISTENT) if name not in (*_TENSORS, MODULES))
_mostly_empty = itemgetter(*_MOSTLY_EMPTY)


class WrittenTableError(RuntimeError):
    """A table that light twins share was to be written to."""


class _SharedTable(OrderedDict[Any, Any]):
    """An empty table."""

    is_written = False

    def _refuse(self, *_: Any, **__: Any) -> Any:
        self.is_written = True
        raise WrittenTableError("a table that light twins share is written to")

    __setitem__ = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> Any:
        return OrderedDict, ()


class _SharedSet(set[str]):
    """An empty set."""

    is_written = False
    add = update = __ior__ = _SharedTable._refuse

    def __reduce__(self) -> Any:
        return set, ()


class MakesTables(Protocol):
    """Makes the twins of parameters and buffers."""

    def table(self, given: State) -> State:
        """The twin of a table."""
        ...


class _Table(dict[str, Any]):
    __slots__ = ("given", "twins")  # and no __init__, which takes as long as the rest of a light twin

    given: State
    twins: "MakesTables"

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class _FilledTable(_Table):
    """Parameters or buffers that somebody looked at, with their twins: from then on a dict like any other."""

    __slots__ = ()


class LightTable(_Table):
    """Parameters or buffers that have twins once somebody looks at them: until then there are those `given`."""

    __slots__ = ()

    def fill(self) -> None:
        """Give the tensors their twins."""
        with without_functions(), without_dispatch():
            dict.update(self, self.twins.table(self.given))
        self.__class__ = _FilledTable  # type: ignore[assignment]


def _filled(name: str) -> Any:
    method = getattr(dict, name)

    def call(self: LightTable, *args: Any, **kwargs: Any) -> Any:
        self.fill()
        return method(self, *args, **kwargs)

    return call


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__or__"),
    *("__repr__", "__reversed__", "__ror__", "__setitem__", "clear", "copy", "get", "items", "keys", "pop"),
    *("popitem", "setdefault", "update", "values"),
):
    setattr(LightTable, _name, _filled(_name))

LIGHT = UNCHANGING | {_SharedTable, _SharedSet, LightTable}


def given_tensors(table: State) -> State:
    """A table of tensors of which only the shapes are looked at, for which no twins are made."""
    return table.given if type(table) is LightTable else table


class SharedTables:
    """The empty tables that the twins of one model share."""

    def __init__(self) -> None:
        self._tables: State = dict.fromkeys(TABLES, _SharedTable()) | {NON_PERSISTENT: _SharedSet()}
        self._attributes: dict[type, tuple[int, itemgetter[Any]]] = {}  # of a class: how many, and those beside tables

    @property
    def are_written(self) -> bool:
        """Whether one of them was to be written to."""
        return any(table.is_written for table in self._tables.values())

    def lightened(self, state: State, twins: MakesTables) -> State | None:
        """A copy of a module's attributes with light tables; None where the module has hooks."""
        if any(_mostly_empty(state)):
            return None
        own = state | self._tables
        parameters, buffers = state[PARAMETERS], state[BUFFERS]
        if parameters:
            table = own[PARAMETERS] = LightTable()
            table.given, table.twins = parameters, twins
        if buffers:
            table = own[BUFFERS] = LightTable()
            table.given, table.twins = buffers, twins
        return own

    def has_only_unchanging(self, kind: type, own: State) -> bool:
        """Whether the light attributes of a class's module are, beside the tables, what cannot change, or tuples of it.

        Of a module with other attributes than the first of its class had, it is not known.
        """
        found = self._attributes.get(kind)
        if found is None:
            names = [name for name in own if name not in TABLES and name != NON_PERSISTENT]
            found = self._attributes[kind] = len(own), itemgetter(*names)
        size, attributes = found
        if len(own) != size:
            return False
        try:
            values = attributes(own)
        except KeyError:
            return False
        for value in values:
            kind = type(value)
            if kind not in UNCHANGING and (kind is not tuple or not UNCHANGING.issuperset(map(type, value))):
                return False
        return True
