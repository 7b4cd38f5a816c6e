from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.group_lag import GroupLag


T = TypeVar("T", bound="Stream")


@_attrs_define
class Stream:
    """A stream, and how far its consumer groups are.

    Attributes:
        bytes_ (int): As stored, compressed.
        first (str): Where a reader from the beginning, and one that wants only new records, start.
        groups (list[GroupLag]):
        last (str):
        records (int):
        stream (str):
        last_at (datetime.datetime | None | Unset): When the newest record became durable.
        retention_age_ms (int | None | Unset):
        retention_bytes (int | None | Unset):
    """

    bytes_: int
    first: str
    groups: list[GroupLag]
    last: str
    records: int
    stream: str
    last_at: datetime.datetime | None | Unset = UNSET
    retention_age_ms: int | None | Unset = UNSET
    retention_bytes: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        bytes_ = self.bytes_

        first = self.first

        groups = []
        for groups_item_data in self.groups:
            groups_item = groups_item_data.to_dict()
            groups.append(groups_item)

        last = self.last

        records = self.records

        stream = self.stream

        last_at: None | str | Unset
        if isinstance(self.last_at, Unset):
            last_at = UNSET
        elif isinstance(self.last_at, datetime.datetime):
            last_at = self.last_at.isoformat()
        else:
            last_at = self.last_at

        retention_age_ms: int | None | Unset
        if isinstance(self.retention_age_ms, Unset):
            retention_age_ms = UNSET
        else:
            retention_age_ms = self.retention_age_ms

        retention_bytes: int | None | Unset
        if isinstance(self.retention_bytes, Unset):
            retention_bytes = UNSET
        else:
            retention_bytes = self.retention_bytes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "bytes": bytes_,
                "first": first,
                "groups": groups,
                "last": last,
                "records": records,
                "stream": stream,
            }
        )
        if last_at is not UNSET:
            field_dict["last_at"] = last_at
        if retention_age_ms is not UNSET:
            field_dict["retention_age_ms"] = retention_age_ms
        if retention_bytes is not UNSET:
            field_dict["retention_bytes"] = retention_bytes

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.group_lag import GroupLag

        d = dict(src_dict)
        bytes_ = d.pop("bytes")

        first = d.pop("first")

        groups = []
        _groups = d.pop("groups")
        for groups_item_data in _groups:
            groups_item = GroupLag.from_dict(groups_item_data)

            groups.append(groups_item)

        last = d.pop("last")

        records = d.pop("records")

        stream = d.pop("stream")

        def _parse_last_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_at = _parse_last_at(d.pop("last_at", UNSET))

        def _parse_retention_age_ms(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        retention_age_ms = _parse_retention_age_ms(d.pop("retention_age_ms", UNSET))

        def _parse_retention_bytes(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        retention_bytes = _parse_retention_bytes(d.pop("retention_bytes", UNSET))

        stream = cls(
            bytes_=bytes_,
            first=first,
            groups=groups,
            last=last,
            records=records,
            stream=stream,
            last_at=last_at,
            retention_age_ms=retention_age_ms,
            retention_bytes=retention_bytes,
        )

        stream.additional_properties = d
        return stream

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
