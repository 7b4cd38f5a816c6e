from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Self,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.new_message_schema_schema_type_0 import NewMessageSchemaSchemaType0


T = TypeVar("T", bound="NewMessageSchema")


@_attrs_define
class NewMessageSchema:
    """A JSON Schema, and what becomes of messages that it does not allow.

    Attributes:
        schema (bool | NewMessageSchemaSchemaType0): A JSON Schema: an object, or true or false.
        on_mismatch (Literal['refuse'] | Literal['set_aside'] | Unset): What becomes of a message that its app's schema
            does not allow.
    """

    schema: bool | NewMessageSchemaSchemaType0
    on_mismatch: Literal["refuse", "set_aside"] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.new_message_schema_schema_type_0 import (
            NewMessageSchemaSchemaType0,
        )

        schema: bool | dict[str, Any]
        if isinstance(self.schema, NewMessageSchemaSchemaType0):
            schema = self.schema.to_dict()
        else:
            schema = self.schema

        on_mismatch: Literal["refuse", "set_aside"] | Unset
        if isinstance(self.on_mismatch, Unset):
            on_mismatch = UNSET
        else:
            on_mismatch = self.on_mismatch

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "schema": schema,
            }
        )
        if on_mismatch is not UNSET:
            field_dict["on_mismatch"] = on_mismatch

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.new_message_schema_schema_type_0 import (
            NewMessageSchemaSchemaType0,
        )

        d = dict(src_dict)

        def _parse_schema(data: object) -> bool | NewMessageSchemaSchemaType0:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                schema_type_0 = NewMessageSchemaSchemaType0.from_dict(data)

                return schema_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(bool | NewMessageSchemaSchemaType0, data)

        schema = _parse_schema(d.pop("schema"))

        def _parse_on_mismatch(data: object) -> Literal["refuse", "set_aside"] | Unset:
            if isinstance(data, Unset):
                return data
            componentsschemas_on_mismatch_type_0 = cast(Literal["refuse"], data)
            if componentsschemas_on_mismatch_type_0 != "refuse":
                raise ValueError(
                    f"/components/schemas/OnMismatch_type_0 must match const 'refuse', got '{componentsschemas_on_mismatch_type_0}'"
                )
            return componentsschemas_on_mismatch_type_0
            componentsschemas_on_mismatch_type_1 = cast(Literal["set_aside"], data)
            if componentsschemas_on_mismatch_type_1 != "set_aside":
                raise ValueError(
                    f"/components/schemas/OnMismatch_type_1 must match const 'set_aside', got '{componentsschemas_on_mismatch_type_1}'"
                )
            return componentsschemas_on_mismatch_type_1

        on_mismatch = _parse_on_mismatch(d.pop("on_mismatch", UNSET))

        new_message_schema = cls(
            schema=schema,
            on_mismatch=on_mismatch,
        )

        return new_message_schema
