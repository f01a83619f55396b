from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.feedback_request_labels import FeedbackRequestLabels


T = TypeVar("T", bound="FeedbackRequest")


@_attrs_define
class FeedbackRequest:
    """What a mail really was. The mail is named by its prediction, by the client's own id, or both.

    Attributes:
        labels (FeedbackRequestLabels): The final label by task.
        external_id (None | str | Unset): What the client calls the mail.
        prediction_id (None | str | Unset): The prediction it is about.
    """

    labels: FeedbackRequestLabels
    external_id: None | str | Unset = UNSET
    prediction_id: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        labels = self.labels.to_dict()

        external_id: None | str | Unset
        if isinstance(self.external_id, Unset):
            external_id = UNSET
        else:
            external_id = self.external_id

        prediction_id: None | str | Unset
        if isinstance(self.prediction_id, Unset):
            prediction_id = UNSET
        else:
            prediction_id = self.prediction_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "labels": labels,
            }
        )
        if external_id is not UNSET:
            field_dict["external_id"] = external_id
        if prediction_id is not UNSET:
            field_dict["prediction_id"] = prediction_id

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.feedback_request_labels import FeedbackRequestLabels

        d = dict(src_dict)
        labels = FeedbackRequestLabels.from_dict(d.pop("labels"))

        def _parse_external_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        external_id = _parse_external_id(d.pop("external_id", UNSET))

        def _parse_prediction_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        prediction_id = _parse_prediction_id(d.pop("prediction_id", UNSET))

        feedback_request = cls(
            labels=labels,
            external_id=external_id,
            prediction_id=prediction_id,
        )

        return feedback_request
