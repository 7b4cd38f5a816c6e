from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.record import Record


T = TypeVar("T", bound="HandedRecords")


@_attrs_define
class HandedRecords:
    """What a poll hands out.

    Attributes:
        cursor (str): What to commit when they are done.
        expired (int): Records that retention removed before the group had read them.
        items (list[Record]):
        lag (int): Records after what the group has committed.
    """

    cursor: str
    expired: int
    items: list[Record]
    lag: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        cursor = self.cursor

        expired = self.expired

        items = []
        for items_item_data in self.items:
            items_item = items_item_data.to_dict()
            items.append(items_item)

        lag = self.lag

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "cursor": cursor,
                "expired": expired,
                "items": items,
                "lag": lag,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.record import Record

        d = dict(src_dict)
        cursor = d.pop("cursor")

        expired = d.pop("expired")

        items = []
        _items = d.pop("items")
        for items_item_data in _items:
            items_item = Record.from_dict(items_item_data)

            items.append(items_item)

        lag = d.pop("lag")

        handed_records = cls(
            cursor=cursor,
            expired=expired,
            items=items,
            lag=lag,
        )

        handed_records.additional_properties = d
        return handed_records

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
