from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="AppChange")


@_attrs_define
class AppChange:
    """What of an app is to be another. Members that are not there, or null, stay as they are.

    Attributes:
        bundle_id (None | str | Unset):
        cors_origins (list[str] | None | Unset): Such as `https://shop.example`, or `*` for all; without a path.
        name (None | str | Unset):
        truncate_addresses (bool | None | Unset):
    """

    bundle_id: None | str | Unset = UNSET
    cors_origins: list[str] | None | Unset = UNSET
    name: None | str | Unset = UNSET
    truncate_addresses: bool | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        bundle_id: None | str | Unset
        if isinstance(self.bundle_id, Unset):
            bundle_id = UNSET
        else:
            bundle_id = self.bundle_id

        cors_origins: list[str] | None | Unset
        if isinstance(self.cors_origins, Unset):
            cors_origins = UNSET
        elif isinstance(self.cors_origins, list):
            cors_origins = self.cors_origins

        else:
            cors_origins = self.cors_origins

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        truncate_addresses: bool | None | Unset
        if isinstance(self.truncate_addresses, Unset):
            truncate_addresses = UNSET
        else:
            truncate_addresses = self.truncate_addresses

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if bundle_id is not UNSET:
            field_dict["bundle_id"] = bundle_id
        if cors_origins is not UNSET:
            field_dict["cors_origins"] = cors_origins
        if name is not UNSET:
            field_dict["name"] = name
        if truncate_addresses is not UNSET:
            field_dict["truncate_addresses"] = truncate_addresses

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_bundle_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        bundle_id = _parse_bundle_id(d.pop("bundle_id", UNSET))

        def _parse_cors_origins(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                cors_origins_type_0 = cast(list[str], data)

                return cors_origins_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        cors_origins = _parse_cors_origins(d.pop("cors_origins", UNSET))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_truncate_addresses(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        truncate_addresses = _parse_truncate_addresses(
            d.pop("truncate_addresses", UNSET)
        )

        app_change = cls(
            bundle_id=bundle_id,
            cors_origins=cors_origins,
            name=name,
            truncate_addresses=truncate_addresses,
        )

        return app_change
