from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="GroupCommit")


@_attrs_define
class GroupCommit:
    """
    Attributes:
        cursor (str):
        consumer (str | Unset):  Default: ''.
    """

    cursor: str
    consumer: str | Unset = ""

    def to_dict(self) -> dict[str, Any]:
        cursor = self.cursor

        consumer = self.consumer

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "cursor": cursor,
            }
        )
        if consumer is not UNSET:
            field_dict["consumer"] = consumer

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        cursor = d.pop("cursor")

        consumer = d.pop("consumer", UNSET)

        group_commit = cls(
            cursor=cursor,
            consumer=consumer,
        )

        return group_commit
