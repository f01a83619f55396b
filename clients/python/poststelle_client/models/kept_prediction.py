from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.kept_prediction_tasks import KeptPredictionTasks


T = TypeVar("T", bound="KeptPrediction")


@_attrs_define
class KeptPrediction:
    """A prediction as it was kept

    Attributes:
        at (datetime.datetime): When it was made.
        external_id (None | str): What the client calls the mail.
        id (str): Its name.
        model_version (None | str): The version that answered.
        schema_version (int): Version of the schema its labels are of.
        scope (str): Whether the mail was one the model was made for.
        tasks (KeptPredictionTasks): By task.
        text (None | str): What is kept of the mail, by the gateway's policy.
        truncated (bool): The model read the beginning alone.
    """

    at: datetime.datetime
    external_id: None | str
    id: str
    model_version: None | str
    schema_version: int
    scope: str
    tasks: KeptPredictionTasks
    text: None | str
    truncated: bool
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        at = self.at.isoformat()

        external_id: None | str
        external_id = self.external_id

        id = self.id

        model_version: None | str
        model_version = self.model_version

        schema_version = self.schema_version

        scope = self.scope

        tasks = self.tasks.to_dict()

        text: None | str
        text = self.text

        truncated = self.truncated

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "at": at,
                "external_id": external_id,
                "id": id,
                "model_version": model_version,
                "schema_version": schema_version,
                "scope": scope,
                "tasks": tasks,
                "text": text,
                "truncated": truncated,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.kept_prediction_tasks import KeptPredictionTasks

        d = dict(src_dict)
        at = datetime.datetime.fromisoformat(d.pop("at"))

        def _parse_external_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        external_id = _parse_external_id(d.pop("external_id"))

        id = d.pop("id")

        def _parse_model_version(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model_version = _parse_model_version(d.pop("model_version"))

        schema_version = d.pop("schema_version")

        scope = d.pop("scope")

        tasks = KeptPredictionTasks.from_dict(d.pop("tasks"))

        def _parse_text(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        text = _parse_text(d.pop("text"))

        truncated = d.pop("truncated")

        kept_prediction = cls(
            at=at,
            external_id=external_id,
            id=id,
            model_version=model_version,
            schema_version=schema_version,
            scope=scope,
            tasks=tasks,
            text=text,
            truncated=truncated,
        )

        kept_prediction.additional_properties = d
        return kept_prediction

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
