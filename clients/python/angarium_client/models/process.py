from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Process")


@_attrs_define
class Process:
    """A process of the fleet.

    Attributes:
        address (str):
        host (str):
        id (str):
        lag_ms (int):
        leases (list[str]):
        pid (int):
        roles (list[str]):
        seen_at (datetime.datetime):
        started_at (datetime.datetime):
        state (str): `gone` when it was not seen for half a minute; it is forgotten after a day.
        version (str):
        detail (None | str | Unset): What does not work in it at the moment.
    """

    address: str
    host: str
    id: str
    lag_ms: int
    leases: list[str]
    pid: int
    roles: list[str]
    seen_at: datetime.datetime
    started_at: datetime.datetime
    state: str
    version: str
    detail: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        address = self.address

        host = self.host

        id = self.id

        lag_ms = self.lag_ms

        leases = self.leases

        pid = self.pid

        roles = self.roles

        seen_at = self.seen_at.isoformat()

        started_at = self.started_at.isoformat()

        state = self.state

        version = self.version

        detail: None | str | Unset
        if isinstance(self.detail, Unset):
            detail = UNSET
        else:
            detail = self.detail

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "address": address,
                "host": host,
                "id": id,
                "lag_ms": lag_ms,
                "leases": leases,
                "pid": pid,
                "roles": roles,
                "seen_at": seen_at,
                "started_at": started_at,
                "state": state,
                "version": version,
            }
        )
        if detail is not UNSET:
            field_dict["detail"] = detail

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        address = d.pop("address")

        host = d.pop("host")

        id = d.pop("id")

        lag_ms = d.pop("lag_ms")

        leases = cast(list[str], d.pop("leases"))

        pid = d.pop("pid")

        roles = cast(list[str], d.pop("roles"))

        seen_at = datetime.datetime.fromisoformat(d.pop("seen_at"))

        started_at = datetime.datetime.fromisoformat(d.pop("started_at"))

        state = d.pop("state")

        version = d.pop("version")

        def _parse_detail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        detail = _parse_detail(d.pop("detail", UNSET))

        process = cls(
            address=address,
            host=host,
            id=id,
            lag_ms=lag_ms,
            leases=leases,
            pid=pid,
            roles=roles,
            seen_at=seen_at,
            started_at=started_at,
            state=state,
            version=version,
            detail=detail,
        )

        process.additional_properties = d
        return process

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
