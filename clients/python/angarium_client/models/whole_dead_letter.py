from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="WholeDeadLetter")


@_attrs_define
class WholeDeadLetter:
    """A dead letter with its original.

    Attributes:
        attempts (int):
        code (str): A stable name of the reason.
        first_at (datetime.datetime): When it was first tried.
        id (str):
        kind (str): What sort of work: `message`.
        last_at (datetime.datetime): When it was given up.
        link (str): The path at which it is found.
        media_type (str): Of the original.
        reason (str): The reason, for people.
        size_bytes (int): Of the original.
        source (str): The id of what was given up.
        body (Any | Unset): The original, where it is JSON; its bytes are at `…/body` in any case.
    """

    attempts: int
    code: str
    first_at: datetime.datetime
    id: str
    kind: str
    last_at: datetime.datetime
    link: str
    media_type: str
    reason: str
    size_bytes: int
    source: str
    body: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attempts = self.attempts

        code = self.code

        first_at = self.first_at.isoformat()

        id = self.id

        kind = self.kind

        last_at = self.last_at.isoformat()

        link = self.link

        media_type = self.media_type

        reason = self.reason

        size_bytes = self.size_bytes

        source = self.source

        body = self.body

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attempts": attempts,
                "code": code,
                "first_at": first_at,
                "id": id,
                "kind": kind,
                "last_at": last_at,
                "link": link,
                "media_type": media_type,
                "reason": reason,
                "size_bytes": size_bytes,
                "source": source,
            }
        )
        if body is not UNSET:
            field_dict["body"] = body

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attempts = d.pop("attempts")

        code = d.pop("code")

        first_at = datetime.datetime.fromisoformat(d.pop("first_at"))

        id = d.pop("id")

        kind = d.pop("kind")

        last_at = datetime.datetime.fromisoformat(d.pop("last_at"))

        link = d.pop("link")

        media_type = d.pop("media_type")

        reason = d.pop("reason")

        size_bytes = d.pop("size_bytes")

        source = d.pop("source")

        body = d.pop("body", UNSET)

        whole_dead_letter = cls(
            attempts=attempts,
            code=code,
            first_at=first_at,
            id=id,
            kind=kind,
            last_at=last_at,
            link=link,
            media_type=media_type,
            reason=reason,
            size_bytes=size_bytes,
            source=source,
            body=body,
        )

        whole_dead_letter.additional_properties = d
        return whole_dead_letter

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
