from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..models.encoding import Encoding
from ..types import UNSET, Unset

T = TypeVar("T", bound="MailInput")


@_attrs_define
class MailInput:
    """A mail: its subject and body, or all of it as it came over the wire

    Attributes:
        body (None | str | Unset): The body, plain text or HTML.
        broker (None | str | Unset): The broker it concerns.
        external_id (None | str | Unset): What the client calls the mail: it comes back, and feedback can name the mail
            by it.
        raw (None | str | Unset): The whole message (RFC 5322), instead of subject and body.
        raw_encoding (Encoding | None | Unset):
        subject (None | str | Unset): The subject line.
    """

    body: None | str | Unset = UNSET
    broker: None | str | Unset = UNSET
    external_id: None | str | Unset = UNSET
    raw: None | str | Unset = UNSET
    raw_encoding: Encoding | None | Unset = UNSET
    subject: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        body: None | str | Unset
        if isinstance(self.body, Unset):
            body = UNSET
        else:
            body = self.body

        broker: None | str | Unset
        if isinstance(self.broker, Unset):
            broker = UNSET
        else:
            broker = self.broker

        external_id: None | str | Unset
        if isinstance(self.external_id, Unset):
            external_id = UNSET
        else:
            external_id = self.external_id

        raw: None | str | Unset
        if isinstance(self.raw, Unset):
            raw = UNSET
        else:
            raw = self.raw

        raw_encoding: None | str | Unset
        if isinstance(self.raw_encoding, Unset):
            raw_encoding = UNSET
        elif isinstance(self.raw_encoding, Encoding):
            raw_encoding = self.raw_encoding.value
        else:
            raw_encoding = self.raw_encoding

        subject: None | str | Unset
        if isinstance(self.subject, Unset):
            subject = UNSET
        else:
            subject = self.subject

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if body is not UNSET:
            field_dict["body"] = body
        if broker is not UNSET:
            field_dict["broker"] = broker
        if external_id is not UNSET:
            field_dict["external_id"] = external_id
        if raw is not UNSET:
            field_dict["raw"] = raw
        if raw_encoding is not UNSET:
            field_dict["raw_encoding"] = raw_encoding
        if subject is not UNSET:
            field_dict["subject"] = subject

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_body(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        body = _parse_body(d.pop("body", UNSET))

        def _parse_broker(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        broker = _parse_broker(d.pop("broker", UNSET))

        def _parse_external_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        external_id = _parse_external_id(d.pop("external_id", UNSET))

        def _parse_raw(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        raw = _parse_raw(d.pop("raw", UNSET))

        def _parse_raw_encoding(data: object) -> Encoding | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                raw_encoding_type_0 = Encoding(data)

                return raw_encoding_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Encoding | None | Unset, data)

        raw_encoding = _parse_raw_encoding(d.pop("raw_encoding", UNSET))

        def _parse_subject(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        subject = _parse_subject(d.pop("subject", UNSET))

        mail_input = cls(
            body=body,
            broker=broker,
            external_id=external_id,
            raw=raw,
            raw_encoding=raw_encoding,
            subject=subject,
        )

        return mail_input
