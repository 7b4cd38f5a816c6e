from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.kept_event_meta import KeptEventMeta
    from ..models.kept_event_params import KeptEventParams


T = TypeVar("T", bound="KeptEvent")


@_attrs_define
class KeptEvent:
    """An event as it was kept.

    Attributes:
        at (datetime.datetime):
        id (str):
        meta (KeptEventMeta): What the request told of device, address and place.
        params (KeptEventParams):
        received_at (datetime.datetime):
        type_ (str):
        device_id (None | str | Unset):
        query (None | str | Unset): The query string of a tracking call, as it was sent.
    """

    at: datetime.datetime
    id: str
    meta: KeptEventMeta
    params: KeptEventParams
    received_at: datetime.datetime
    type_: str
    device_id: None | str | Unset = UNSET
    query: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        at = self.at.isoformat()

        id = self.id

        meta = self.meta.to_dict()

        params = self.params.to_dict()

        received_at = self.received_at.isoformat()

        type_ = self.type_

        device_id: None | str | Unset
        if isinstance(self.device_id, Unset):
            device_id = UNSET
        else:
            device_id = self.device_id

        query: None | str | Unset
        if isinstance(self.query, Unset):
            query = UNSET
        else:
            query = self.query

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "at": at,
                "id": id,
                "meta": meta,
                "params": params,
                "received_at": received_at,
                "type": type_,
            }
        )
        if device_id is not UNSET:
            field_dict["device_id"] = device_id
        if query is not UNSET:
            field_dict["query"] = query

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.kept_event_meta import KeptEventMeta
        from ..models.kept_event_params import KeptEventParams

        d = dict(src_dict)
        at = datetime.datetime.fromisoformat(d.pop("at"))

        id = d.pop("id")

        meta = KeptEventMeta.from_dict(d.pop("meta"))

        params = KeptEventParams.from_dict(d.pop("params"))

        received_at = datetime.datetime.fromisoformat(d.pop("received_at"))

        type_ = d.pop("type")

        def _parse_device_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        device_id = _parse_device_id(d.pop("device_id", UNSET))

        def _parse_query(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        query = _parse_query(d.pop("query", UNSET))

        kept_event = cls(
            at=at,
            id=id,
            meta=meta,
            params=params,
            received_at=received_at,
            type_=type_,
            device_id=device_id,
            query=query,
        )

        kept_event.additional_properties = d
        return kept_event

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
