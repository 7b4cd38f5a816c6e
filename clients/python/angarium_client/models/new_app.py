from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="NewApp")


@_attrs_define
class NewApp:
    """What a new app is made of.

    Attributes:
        bundle_id (str): Three or more parts of lower-case letters and digits, between dots: `com.acme.shop`. Nobody
            else's.
        name (str):
    """

    bundle_id: str
    name: str

    def to_dict(self) -> dict[str, Any]:
        bundle_id = self.bundle_id

        name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "bundle_id": bundle_id,
                "name": name,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        bundle_id = d.pop("bundle_id")

        name = d.pop("name")

        new_app = cls(
            bundle_id=bundle_id,
            name=name,
        )

        return new_app
