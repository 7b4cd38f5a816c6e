from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.readiness_parts import ReadinessParts


T = TypeVar("T", bound="Readiness")


@_attrs_define
class Readiness:
    """
    Attributes:
        lag_ms (int): How late its last sign of life reached the store.
        parts (ReadinessParts):
        process (str): Of this run of the process.
        roles (list[str]):
        status (str):
        version (str):
    """

    lag_ms: int
    parts: ReadinessParts
    process: str
    roles: list[str]
    status: str
    version: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        lag_ms = self.lag_ms

        parts = self.parts.to_dict()

        process = self.process

        roles = self.roles

        status = self.status

        version = self.version

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "lag_ms": lag_ms,
                "parts": parts,
                "process": process,
                "roles": roles,
                "status": status,
                "version": version,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.readiness_parts import ReadinessParts

        d = dict(src_dict)
        lag_ms = d.pop("lag_ms")

        parts = ReadinessParts.from_dict(d.pop("parts"))

        process = d.pop("process")

        roles = cast(list[str], d.pop("roles"))

        status = d.pop("status")

        version = d.pop("version")

        readiness = cls(
            lag_ms=lag_ms,
            parts=parts,
            process=process,
            roles=roles,
            status=status,
            version=version,
        )

        readiness.additional_properties = d
        return readiness

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
