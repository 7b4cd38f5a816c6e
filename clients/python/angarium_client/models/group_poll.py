from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="GroupPoll")


@_attrs_define
class GroupPoll:
    """
    Attributes:
        consumer (str | Unset): Who polls, of those that share the group. Default: ''.
        max_ (int | Unset):  Default: 100.
        wait (int | None | str | Unset):
    """

    consumer: str | Unset = ""
    max_: int | Unset = 100
    wait: int | None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        consumer = self.consumer

        max_ = self.max_

        wait: int | None | str | Unset
        if isinstance(self.wait, Unset):
            wait = UNSET
        else:
            wait = self.wait

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if consumer is not UNSET:
            field_dict["consumer"] = consumer
        if max_ is not UNSET:
            field_dict["max"] = max_
        if wait is not UNSET:
            field_dict["wait"] = wait

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        consumer = d.pop("consumer", UNSET)

        max_ = d.pop("max", UNSET)

        def _parse_wait(data: object) -> int | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | str | Unset, data)

        wait = _parse_wait(d.pop("wait", UNSET))

        group_poll = cls(
            consumer=consumer,
            max_=max_,
            wait=wait,
        )

        return group_poll
