"""boto3's runtime client against one endpoint: `invoke_boto3.py PORT`."""

import csv
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

client = boto3.client(
    "sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="eu-central-1",
    config=Config(connect_timeout=30, read_timeout=60, retries={"max_attempts": 0}),
)  # fmt: skip
TASKS = ("business_unit", "queue", "topic")
TABLE = ["id", *(f"{task}{part}" for task in TASKS for part in ("", "_confidence", "_decision")), "scope", "error"]


def ask(body, content="application/json", **more):
    answer = client.invoke_endpoint(EndpointName="mails", ContentType=content, Body=body, **more)
    return answer, answer["Body"].read().decode()


def refused(status, code, body, content="application/json", **more):
    try:
        answered = ask(body, content, **more)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        assert found == (status, code) and error.response["Error"]["Message"], error.response
        return
    raise AssertionError(answered)


first = {"id": "a", "subject": "Jahressteuerbescheinigung", "body": "Bitte zusenden.\n\n> Am Montag: alles erledigt."}
second = {"id": 7, "subject": "Depot", "body": "Ich möchte ein Depot eröffnen."}
broken = {"id": "c", "text": "kein Feld"}

# JSON: a record per mail, in order; a broken one has its error and its id, the others their answers.
answer, body = ask(json.dumps([first, broken, second]))
assert answer["ContentType"] == "application/json", answer
records = json.loads(body)
assert [record["id"] for record in records] == ["a", "c", 7], records
assert records[1] == {"id": "c", "error": records[1]["error"]} and records[1]["error"]["code"] == "missing_text", records
for record in (records[0], records[2]):
    for task in TASKS:
        assert record[task] and 0 < record[f"{task}_confidence"] <= 1, record
        assert record[f"{task}_decision"] in ("auto", "suggest", "ask"), record
    assert "error" not in record and "text" not in record, record
alone = json.loads(ask(json.dumps(first))[1])
assert alone == [records[0]], alone
columns = json.loads(ask(json.dumps([first, second]), Accept="application/json; shape=columns")[1])
assert columns["id"] == ["a", 7] and columns["queue"] == [records[0]["queue"], records[2]["queue"]], columns

# JSON Lines, both ways.
lines = "\n".join([json.dumps(first), "{broken", json.dumps(second)]) + "\n"
answer, body = ask(lines, "application/jsonlines", Accept="application/jsonlines")
assert answer["ContentType"] == "application/jsonlines" and body.endswith("\n"), (answer, body)
rows = [json.loads(line) for line in body.splitlines()]
assert [rows[0], rows[2]] == [records[0], records[2]] and rows[1]["error"]["code"] == "malformed", rows

# CSV with a header and without.
table = """id,subject,body
a,Jahressteuerbescheinigung,"Bitte zusenden.

> Am Montag: alles erledigt."
c,wenig
7,Depot,Ich möchte ein Depot eröffnen.
"""
answer, body = ask(table.encode(), "text/csv", Accept="text/csv")
assert answer["ContentType"].startswith("text/csv"), answer
rows = list(csv.DictReader(body.splitlines()))
assert list(rows[0]) == TABLE and len(rows) == 3, body
for row, record in ((rows[0], records[0]), (rows[2], records[2])):
    assert row["id"] == str(record["id"]) and row["queue"] == record["queue"] and not row["error"], (row, record)
    assert float(row["queue_confidence"]) == record["queue_confidence"], (row, record)
assert rows[1]["error"] == "unequal_lengths" and not rows[1]["queue"], rows[1]
answer, headless = ask(table.partition("\n")[2].encode(), "text/csv; header=absent", Accept="text/csv")
assert "header=absent" in answer["ContentType"], answer
wanted, found = list(csv.reader(body.splitlines()[1:])), list(csv.reader(headless.splitlines()))
assert (found[0], found[2]) == (wanted[0], wanted[2]), headless

# What the caller wrote comes back, and after it who answered.
answer, _ = ask(json.dumps([first]), CustomAttributes="trace=4711;team=eins")
assert answer["CustomAttributes"] == "trace=4711;team=eins,schema_version=1", answer
assert ask(json.dumps([first]))[0]["CustomAttributes"] == "schema_version=1"
answer, body = ask(json.dumps([first, broken]), CustomAttributes="trace=1,include=top+text+cuts+evidence")
assert answer["CustomAttributes"].startswith("trace=1,include=top+text+cuts+evidence,"), answer
more, wrong = json.loads(body)
assert {"top", "text", "cuts", "evidence"} - {key.removeprefix("queue_") for key in more} == set(), more
assert more["queue_top"][0]["label"] == more["queue"], more
assert "Bitte zusenden" in more["text"] and "Montag" not in more["text"], more
assert any("Montag" in cut["text"] and cut["kind"] == "quoted" for cut in more["cuts"]), more
assert more["evidence"] and set(wrong) == {"id", "error"}, (more, wrong)

# Wrong requests.
refused(400, "malformed", "{")
refused(400, "unknown_shape", '"a"')
refused(400, "missing_text", json.dumps([broken]))
refused(400, "malformed", "{broken\n", "application/jsonlines")
refused(400, "not_utf8", b"\xff")
refused(415, "unsupported_media_type", "a", "application/x-parquet")
refused(406, "not_acceptable", "[]", Accept="image/png")
refused(400, "invalid_attributes", "[]", CustomAttributes="include=everything")
refused(400, "invalid_attributes", "[]", CustomAttributes="include=top", Accept="text/csv")
refused(413, "too_large", b" " * ((1 << 20) + 1))
