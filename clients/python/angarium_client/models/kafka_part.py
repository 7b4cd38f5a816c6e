from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="KafkaPart")


@_attrs_define
class KafkaPart:
    """
    Attributes:
        lag (int): Records in the spool that Kafka does not have yet.
        spool_bytes (int):
        spool_bytes_max (int): Beyond so many, events are refused.
        status (str):
        detail (None | str | Unset):
    """

    lag: int
    spool_bytes: int
    spool_bytes_max: int
    status: str
    detail: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        lag = self.lag

        spool_bytes = self.spool_bytes

        spool_bytes_max = self.spool_bytes_max

        status = self.status

        detail: None | str | Unset
        if isinstance(self.detail, Unset):
            detail = UNSET
        else:
            detail = self.detail

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "lag": lag,
                "spool_bytes": spool_bytes,
                "spool_bytes_max": spool_bytes_max,
                "status": status,
            }
        )
        if detail is not UNSET:
            field_dict["detail"] = detail

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        lag = d.pop("lag")

        spool_bytes = d.pop("spool_bytes")

        spool_bytes_max = d.pop("spool_bytes_max")

        status = d.pop("status")

        def _parse_detail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        detail = _parse_detail(d.pop("detail", UNSET))

        kafka_part = cls(
            lag=lag,
            spool_bytes=spool_bytes,
            spool_bytes_max=spool_bytes_max,
            status=status,
            detail=detail,
        )

        kafka_part.additional_properties = d
        return kafka_part

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
