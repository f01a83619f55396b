"""The SageMaker SDK's local mode, as it is but for `docker`: `sagemaker_sdk.py WHAT FOLDER BINARY MODEL`."""

import csv
import json
import os
import socket
import sys
from pathlib import Path

what, folder, binary, model = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
docker = folder / "bin/docker"
docker.parent.mkdir()
stand_in = Path(__file__).with_name("docker_stand_in.py")
docker.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I '{stand_in}' \"$@\"\n")
docker.chmod(0o755)
os.environ |= {
    "PATH": f"{docker.parent}:{os.environ['PATH']}",
    "STAND_IN_FOLDER": str(folder),
    "STAND_IN_BINARY": binary,
    "STAND_IN_PORT": str(port),
}

import boto3
from sagemaker.core.local.local_session import LocalSession
from sagemaker.core.transformer import Transformer

silent = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
session = LocalSession(boto_session=boto3.Session(region_name="eu-central-1"), sagemaker_config=silent)
session.config = {"local": {"serving_port": port, "container_root": str(folder), "region_name": "eu-central-1"}}
client = session.sagemaker_client
client.create_model("mails", {"Image": "poststelle", "ModelDataUrl": f"file://{model}", "Environment": {}})


def environments():
    return [json.loads(line) for line in (folder / "environment.jsonl").read_text().splitlines()]


def transform(lines, kind, strategy, payload=None):
    """What a file of these lines becomes, line by line."""
    job = f"{kind}-{strategy}"
    given, made = folder / "given" / job, folder / "made" / job
    given.mkdir(parents=True)
    (given / "mails").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    content = {"json": "application/jsonlines", "csv": "text/csv"}[kind]
    transformer = Transformer(
        "mails", 1, "local", strategy=strategy, max_payload=payload, assemble_with="Line", accept=content,
        output_path=f"file://{made}", sagemaker_session=session,
    )  # fmt: skip
    data = f"file://{given}"
    transformer.transform(data, content_type=content, split_type="Line", job_name=job, wait=False, logs=False)
    assert client.describe_transform_job(job)["TransformJobStatus"] == "Completed"
    text = (made / "mails.out").read_text(encoding="utf-8")
    assert text.endswith("\n"), text[-200:]
    answers = text.removesuffix("\n").split("\n")
    assert len(answers) == len(lines), f"{job}: {len(lines)} lines became {len(answers)}:\n{text[:2000]}"
    return answers


def error(kind, answer):
    """The identity of a line's answer, and the code of its error."""
    if kind == "json":
        record = json.loads(answer)
        assert ("queue" in record) != ("error" in record), answer
        return record["id"], record.get("error", {}).get("code")
    (row,) = csv.reader([answer])
    assert len(row) == 12, answer
    assert bool(row[1]) != bool(row[-1]), answer
    return row[0], row[-1] or None


def mail(kind, id):
    subject, body = f"Depot {id}", f"Guten Tag, bitte {id}x die Bescheinigung für 2025, „eilig“."
    if kind == "json":
        return json.dumps({"id": id, "subject": subject, "body": body}, ensure_ascii=False)
    return f'{id},{subject},"{body}"'


def expect(kind, answers, wrong):
    """Line by line: the mail of this number, or an error of one of these codes."""
    for at, answer in enumerate(answers):
        id, code = error(kind, answer)
        if at in wrong:
            assert code in wrong[at], f"line {at}: {answer}"
        else:
            assert code is None and str(id) == str(at), f"line {at}: {answer}"


if what == "hosting":
    variant = {"VariantName": "all", "ModelName": "mails", "InstanceType": "local", "InitialInstanceCount": 1}
    client.create_endpoint_config("mails", [variant])
    client.create_endpoint("mails", "mails")
    assert client.describe_endpoint("mails")["EndpointStatus"] == "InService"
    (environment,) = environments()
    assert "SAGEMAKER_BATCH" not in environment, environment
    runtime = session.sagemaker_runtime_client
    mails = json.dumps([json.loads(mail("json", id)) for id in range(3)])
    answer = runtime.invoke_endpoint(mails, "mails", "application/json", CustomAttributes="trace=1,include=top")
    records = json.loads(answer["Body"].read())
    assert [record["id"] for record in records] == [0, 1, 2] and records[0]["queue_top"], records
    answer = runtime.invoke_endpoint(mail("csv", 7), "mails", "text/csv; header=absent", "text/csv")
    assert answer["ContentType"].startswith("text/csv"), answer
    assert error("csv", answer["Body"].read().decode().removesuffix("\n")) == ("7", None)
    client.delete_endpoint("mails")

elif what == "lines":
    # A broken line among others, and more than one request can hold.
    broken = {
        "json": {1: ("{broken", "malformed"), 4: ('{"id": 4, "text": "?"}', "missing_text"), 5: ("[1]", "unknown_shape")},
        "csv": {1: ("1,a,b,c,d,e", "unequal_lengths"), 4: ("4", "missing_text")},
    }
    for kind in ("json", "csv"):
        wrong = {at: [code] for at, (_, code) in broken[kind].items()}
        few = [broken[kind][at][0] if at in wrong else mail(kind, at) for at in range(8)]
        expect(kind, transform(few, kind, "SingleRecord"), wrong)
        many = few + [mail(kind, at).replace("Guten Tag", "Guten Tag " * 400) for at in range(8, 400)]
        assert sum(map(len, many)) > 1 << 20
        expect(kind, transform(many, kind, "MultiRecord", payload=1), wrong)
    batch = [environment["SAGEMAKER_BATCH_STRATEGY"] for environment in environments()]
    assert batch == ["SINGLE_RECORD", "MULTI_RECORD"] * 2, batch

elif what == "blank":
    for kind in ("json", "csv"):
        for strategy in ("SingleRecord", "MultiRecord"):
            answers = transform([mail(kind, 0), "", mail(kind, 2)], kind, strategy)
            expect(kind, answers, {1: ["malformed", "missing_text"]})

elif what == "quote":
    for strategy in ("SingleRecord", "MultiRecord"):
        lines = [mail("csv", 0), '1,"Depot,bitte', mail("csv", 2), mail("csv", 3)]
        # A table may end in a quotation, so that line may have an answer, too.
        expect("csv", transform(lines, "csv", strategy), {1: [None, "malformed", "unequal_lengths"]})

else:
    sys.exit(f"{what}?")
