from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.rejected_event import RejectedEvent


T = TypeVar("T", bound="Tracked")


@_attrs_define
class Tracked:
    """What became of the events of a request.

    Attributes:
        accepted (int):
        duplicates (int): Those whose id was seen before.
        rejected (list[RejectedEvent]):
        rejected_total (int | None | Unset): Only when more were rejected than are named.
    """

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    rejected_total: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        accepted = self.accepted

        duplicates = self.duplicates

        rejected = []
        for rejected_item_data in self.rejected:
            rejected_item = rejected_item_data.to_dict()
            rejected.append(rejected_item)

        rejected_total: int | None | Unset
        if isinstance(self.rejected_total, Unset):
            rejected_total = UNSET
        else:
            rejected_total = self.rejected_total

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "accepted": accepted,
                "duplicates": duplicates,
                "rejected": rejected,
            }
        )
        if rejected_total is not UNSET:
            field_dict["rejected_total"] = rejected_total

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.rejected_event import RejectedEvent

        d = dict(src_dict)
        accepted = d.pop("accepted")

        duplicates = d.pop("duplicates")

        rejected = []
        _rejected = d.pop("rejected")
        for rejected_item_data in _rejected:
            rejected_item = RejectedEvent.from_dict(rejected_item_data)

            rejected.append(rejected_item)

        def _parse_rejected_total(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        rejected_total = _parse_rejected_total(d.pop("rejected_total", UNSET))

        tracked = cls(
            accepted=accepted,
            duplicates=duplicates,
            rejected=rejected,
            rejected_total=rejected_total,
        )

        tracked.additional_properties = d
        return tracked

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
