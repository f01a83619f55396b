from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Received")


@_attrs_define
class Received:
    """Feedback as it was kept

    Attributes:
        external_id (None | str): What the client calls the mail.
        id (str): Its name.
        prediction_id (None | str): The prediction it is about, if one is kept.
        unknown_labels (list[str]): Labels the schema that serves now does not have, as `task/label`. They are kept: the
            schema may be about to change.
    """

    external_id: None | str
    id: str
    prediction_id: None | str
    unknown_labels: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        external_id: None | str
        external_id = self.external_id

        id = self.id

        prediction_id: None | str
        prediction_id = self.prediction_id

        unknown_labels = self.unknown_labels

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "external_id": external_id,
                "id": id,
                "prediction_id": prediction_id,
                "unknown_labels": unknown_labels,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_external_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        external_id = _parse_external_id(d.pop("external_id"))

        id = d.pop("id")

        def _parse_prediction_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        prediction_id = _parse_prediction_id(d.pop("prediction_id"))

        unknown_labels = cast(list[str], d.pop("unknown_labels"))

        received = cls(
            external_id=external_id,
            id=id,
            prediction_id=prediction_id,
            unknown_labels=unknown_labels,
        )

        received.additional_properties = d
        return received

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
