from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="App")


@_attrs_define
class App:
    """An app, the tenant that owns everything else.

    Attributes:
        bundle_id (str):
        cors_origins (list[str]): Origins of the pages that may call from a browser.
        created_at (datetime.datetime):
        id (str):
        name (str):
        truncate_addresses (bool): Client addresses are kept without their last part.
    """

    bundle_id: str
    cors_origins: list[str]
    created_at: datetime.datetime
    id: str
    name: str
    truncate_addresses: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        bundle_id = self.bundle_id

        cors_origins = self.cors_origins

        created_at = self.created_at.isoformat()

        id = self.id

        name = self.name

        truncate_addresses = self.truncate_addresses

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "bundle_id": bundle_id,
                "cors_origins": cors_origins,
                "created_at": created_at,
                "id": id,
                "name": name,
                "truncate_addresses": truncate_addresses,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        bundle_id = d.pop("bundle_id")

        cors_origins = cast(list[str], d.pop("cors_origins"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        id = d.pop("id")

        name = d.pop("name")

        truncate_addresses = d.pop("truncate_addresses")

        app = cls(
            bundle_id=bundle_id,
            cors_origins=cors_origins,
            created_at=created_at,
            id=id,
            name=name,
            truncate_addresses=truncate_addresses,
        )

        app.additional_properties = d
        return app

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
