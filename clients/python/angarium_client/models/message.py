from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Message")


@_attrs_define
class Message:
    """A message as it is kept.

    Attributes:
        body (Any): The document, as it was sent.
        id (str):
        received_at (datetime.datetime):
        attempts (int | None | Unset): How often it was tried to persist it, if that failed so far.
        cursor (None | str | Unset): The place after it in the list.
        persisted_at (datetime.datetime | None | Unset): Null until it is persisted.
        reason (None | str | Unset): Why that failed.
    """

    body: Any
    id: str
    received_at: datetime.datetime
    attempts: int | None | Unset = UNSET
    cursor: None | str | Unset = UNSET
    persisted_at: datetime.datetime | None | Unset = UNSET
    reason: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        body = self.body

        id = self.id

        received_at = self.received_at.isoformat()

        attempts: int | None | Unset
        if isinstance(self.attempts, Unset):
            attempts = UNSET
        else:
            attempts = self.attempts

        cursor: None | str | Unset
        if isinstance(self.cursor, Unset):
            cursor = UNSET
        else:
            cursor = self.cursor

        persisted_at: None | str | Unset
        if isinstance(self.persisted_at, Unset):
            persisted_at = UNSET
        elif isinstance(self.persisted_at, datetime.datetime):
            persisted_at = self.persisted_at.isoformat()
        else:
            persisted_at = self.persisted_at

        reason: None | str | Unset
        if isinstance(self.reason, Unset):
            reason = UNSET
        else:
            reason = self.reason

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "body": body,
                "id": id,
                "received_at": received_at,
            }
        )
        if attempts is not UNSET:
            field_dict["attempts"] = attempts
        if cursor is not UNSET:
            field_dict["cursor"] = cursor
        if persisted_at is not UNSET:
            field_dict["persisted_at"] = persisted_at
        if reason is not UNSET:
            field_dict["reason"] = reason

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        body = d.pop("body")

        id = d.pop("id")

        received_at = datetime.datetime.fromisoformat(d.pop("received_at"))

        def _parse_attempts(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        attempts = _parse_attempts(d.pop("attempts", UNSET))

        def _parse_cursor(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        cursor = _parse_cursor(d.pop("cursor", UNSET))

        def _parse_persisted_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                persisted_at_type_0 = datetime.datetime.fromisoformat(data)

                return persisted_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        persisted_at = _parse_persisted_at(d.pop("persisted_at", UNSET))

        def _parse_reason(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        reason = _parse_reason(d.pop("reason", UNSET))

        message = cls(
            body=body,
            id=id,
            received_at=received_at,
            attempts=attempts,
            cursor=cursor,
            persisted_at=persisted_at,
            reason=reason,
        )

        message.additional_properties = d
        return message

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
