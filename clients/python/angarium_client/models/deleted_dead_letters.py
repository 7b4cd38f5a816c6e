from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="DeletedDeadLetters")


@_attrs_define
class DeletedDeadLetters:
    """What came of a request to delete.

    Attributes:
        deleted (int):
        more (bool): There may be more: ask again.
        matches (int | None | Unset): How many letters the filter lets through; of a dry run.
    """

    deleted: int
    more: bool
    matches: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        deleted = self.deleted

        more = self.more

        matches: int | None | Unset
        if isinstance(self.matches, Unset):
            matches = UNSET
        else:
            matches = self.matches

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "deleted": deleted,
                "more": more,
            }
        )
        if matches is not UNSET:
            field_dict["matches"] = matches

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        deleted = d.pop("deleted")

        more = d.pop("more")

        def _parse_matches(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        matches = _parse_matches(d.pop("matches", UNSET))

        deleted_dead_letters = cls(
            deleted=deleted,
            more=more,
            matches=matches,
        )

        deleted_dead_letters.additional_properties = d
        return deleted_dead_letters

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
