from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewLiveToken")


@_attrs_define
class NewLiveToken:
    """What is asked for.

    Attributes:
        streams (list[str]): What may be followed.
        presence (bool | Unset): Whether it may ask who else follows; no, if not given. Default: False.
        subject (None | str | Unset): Who it is for, as presence shows it.
        ttl_s (int | None | Unset): For how long, in seconds; 600 if not given.
    """

    streams: list[str]
    presence: bool | Unset = False
    subject: None | str | Unset = UNSET
    ttl_s: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        streams = self.streams

        presence = self.presence

        subject: None | str | Unset
        if isinstance(self.subject, Unset):
            subject = UNSET
        else:
            subject = self.subject

        ttl_s: int | None | Unset
        if isinstance(self.ttl_s, Unset):
            ttl_s = UNSET
        else:
            ttl_s = self.ttl_s

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "streams": streams,
            }
        )
        if presence is not UNSET:
            field_dict["presence"] = presence
        if subject is not UNSET:
            field_dict["subject"] = subject
        if ttl_s is not UNSET:
            field_dict["ttl_s"] = ttl_s

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        streams = cast(list[str], d.pop("streams"))

        presence = d.pop("presence", UNSET)

        def _parse_subject(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        subject = _parse_subject(d.pop("subject", UNSET))

        def _parse_ttl_s(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        ttl_s = _parse_ttl_s(d.pop("ttl_s", UNSET))

        new_live_token = cls(
            streams=streams,
            presence=presence,
            subject=subject,
            ttl_s=ttl_s,
        )

        return new_live_token
