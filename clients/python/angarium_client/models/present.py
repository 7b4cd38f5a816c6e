from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Present")


@_attrs_define
class Present:
    """A principal that is connected.

    Attributes:
        connections (int):
        id (str): The key's id, the user's subject, or whom the token was made for.
        kind (str): `key`, `user` or `token`.
        protocols (list[str]):
        since (datetime.datetime): Since when the longest of its connections is there.
        streams (list[str]):
        name (None | str | Unset): The key's name, or the user's address of e-mail.
    """

    connections: int
    id: str
    kind: str
    protocols: list[str]
    since: datetime.datetime
    streams: list[str]
    name: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        connections = self.connections

        id = self.id

        kind = self.kind

        protocols = self.protocols

        since = self.since.isoformat()

        streams = self.streams

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "connections": connections,
                "id": id,
                "kind": kind,
                "protocols": protocols,
                "since": since,
                "streams": streams,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        connections = d.pop("connections")

        id = d.pop("id")

        kind = d.pop("kind")

        protocols = cast(list[str], d.pop("protocols"))

        since = datetime.datetime.fromisoformat(d.pop("since"))

        streams = cast(list[str], d.pop("streams"))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        present = cls(
            connections=connections,
            id=id,
            kind=kind,
            protocols=protocols,
            since=since,
            streams=streams,
            name=name,
        )

        present.additional_properties = d
        return present

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
