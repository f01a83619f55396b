"""A linear classifier on the mean of an encoder's tokens, which transformers has for no family of this kind."""

import torch
from transformers import FAMILYConfig, FAMILYModel, FAMILYPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanConfig(FAMILYConfig):
    model_type = "poststelle"


class MeanEncoder(FAMILYModel):
    config_class = MeanConfig


class MeanClassifier(FAMILYPreTrainedModel):
    config_class = MeanConfig

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.PREFIX = FAMILYModel(configBARE)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, labels=None, **others):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = self.PREFIX(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        logits = self.classifier((hidden * mask).sum(1) / mask.sum(1))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
