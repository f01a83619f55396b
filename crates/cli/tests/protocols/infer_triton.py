"""Triton's client for HTTP against a model called `mails`: `infer_triton.py PORT`."""

import sys

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}", connection_timeout=60, network_timeout=60)
SUBJECTS = ["Jahressteuerbescheinigung", "Depot", "Grüße"]
BODIES = ["Bitte zusenden, 5 €.", "Ich möchte ein Depot eröffnen.", ""]


def tensor(name, texts, binary, shape=None):
    shape = shape or [len(texts)]
    tensor = http.InferInput(name, shape, "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(shape), binary_data=binary)
    return tensor


def mails(binary, shape=None):
    return [tensor("subject", SUBJECTS, binary, shape), tensor("body", BODIES, binary, shape)]


def texts(result, name):
    """A tensor's texts: bytes where they came in binary."""
    return [text.decode() if isinstance(text, bytes) else text for text in result.as_numpy(name)]


def refused(status, code, call, *arguments, **more):
    try:
        answered = call(*arguments, **more)
    except InferenceServerException as error:
        assert error.status() == str(status) and error.message().startswith(f"{code}: "), error
        return
    raise AssertionError(answered)


assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("mails") and client.is_model_ready("mails", "1")
assert not client.is_model_ready("mails", "2") and not client.is_model_ready("other")
server = client.get_server_metadata()
assert server["name"] == "poststelle" and "binary_tensor_data" in server["extensions"], server
(listed,) = client.get_model_repository_index()
assert listed["name"] == "mails" and listed["state"] == "READY", listed
model = client.get_model_metadata("mails")
outputs = {output["name"]: output["datatype"] for output in model["outputs"]}
assert {"subject", "body", "raw", "id", "broker"} <= {given["name"] for given in model["inputs"]}, model
assert outputs["queue"] == outputs["queue_decision"] == outputs["error"] == "BYTES", outputs
assert outputs["queue_confidence"] == "FP32", outputs

# However the tensors go and come, the answers are the same.
first = client.infer("mails", mails(True), request_id="r-7")
about = first.get_response()
assert about["id"] == "r-7" and about["model_name"] == "mails", about
assert {output["name"] for output in about["outputs"]} == set(outputs), about
queues, confidences = texts(first, "queue"), first.as_numpy("queue_confidence")
assert all(queues) and confidences.dtype == np.float32 and ((0 < confidences) & (confidences <= 1)).all()
assert texts(first, "error") == [""] * 3 and set(texts(first, "scope")) <= {"in_scope", "out_of_scope"}
for given in (True, False):
    for wanted in (True, False):
        asked = [
            http.InferRequestedOutput("queue", binary_data=wanted),
            http.InferRequestedOutput("queue_confidence", binary_data=not wanted),
        ]
        result = client.infer("mails", mails(given), outputs=asked)
        names = [output["name"] for output in result.get_response()["outputs"]]
        assert names == ["queue", "queue_confidence"], names
        assert texts(result, "queue") == queues, (given, wanted)
        assert (result.as_numpy("queue_confidence") == confidences).all(), (given, wanted)
assert texts(client.infer("mails", mails(True, [3, 1])), "queue") == queues
assert texts(client.infer("mails", mails(True), model_version="1"), "queue") == queues
assert texts(client.async_infer("mails", mails(True)).get_result(), "queue") == queues
assert client.infer("mails", [tensor("body", [], True)]).as_numpy("queue").size == 0

# A mail that cannot be read is one of its batch.
raw = [tensor("raw", ["Subject: a\n\nb", "!"], True), tensor("raw_encoding", ["text", "base64"], True)]
result = client.infer("mails", raw)
assert texts(result, "error") == ["", "invalid_field"] and texts(result, "queue")[1] == "", result.get_response()

refused(404, "unknown_model", client.infer, "other", mails(True))
refused(404, "unknown_model", client.infer, "mails", mails(True), model_version="2")
refused(404, "unknown_model", client.get_model_metadata, "other")
nothing = [http.InferRequestedOutput("nothing")]
refused(400, "invalid_parameter", client.infer, "mails", mails(True), outputs=nothing)
refused(400, "unequal_lengths", client.infer, "mails", [tensor("subject", ["a"], True), tensor("body", BODIES, True)])
refused(400, "missing_text", client.infer, "mails", [tensor("other", ["a"], True)])
