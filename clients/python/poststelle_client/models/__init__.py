"""Contains all the data models used in inputs/outputs"""

from .cut import Cut
from .decision import Decision
from .encoding import Encoding
from .erased import Erased
from .evidence import Evidence
from .evidence_weights import EvidenceWeights
from .feedback_request import FeedbackRequest
from .feedback_request_labels import FeedbackRequestLabels
from .kept_answer import KeptAnswer
from .kept_prediction import KeptPrediction
from .kept_prediction_tasks import KeptPredictionTasks
from .label import Label
from .mail_error import MailError
from .mail_input import MailInput
from .part import Part
from .prediction import Prediction
from .prediction_tasks import PredictionTasks
from .predictions import Predictions
from .predictions_request import PredictionsRequest
from .problem import Problem
from .ranked import Ranked
from .received import Received
from .schema import Schema
from .scope import Scope
from .task import Task
from .task_answer import TaskAnswer

__all__ = (
    "Cut",
    "Decision",
    "Encoding",
    "Erased",
    "Evidence",
    "EvidenceWeights",
    "FeedbackRequest",
    "FeedbackRequestLabels",
    "KeptAnswer",
    "KeptPrediction",
    "KeptPredictionTasks",
    "Label",
    "MailError",
    "MailInput",
    "Part",
    "Prediction",
    "PredictionTasks",
    "Predictions",
    "PredictionsRequest",
    "Problem",
    "Ranked",
    "Received",
    "Schema",
    "Scope",
    "Task",
    "TaskAnswer",
)
