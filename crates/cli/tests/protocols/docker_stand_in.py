"""Stands in for `docker`: what the SageMaker SDK composes as a container is a process on this machine.

The SDK asks for three things. `compose version` and `context inspect` are answered. `compose -f FILE up` becomes the command
that the file names, with the environment that the file lists and no other, model and port where the file puts them.
"""

import json
import os
import socket
import sys
import time

FOLDER = os.environ["STAND_IN_FOLDER"]
BINARY = os.environ["STAND_IN_BINARY"]
PORT = int(os.environ["STAND_IN_PORT"])


def up(file):
    import yaml

    with open(file) as text:
        ((host, service),) = yaml.safe_load(text)["services"].items()
    base = os.path.join(FOLDER, host)
    os.makedirs(base)
    for volume in service["volumes"]:
        here, there = volume.split(":")[:2]
        os.symlink(here, os.path.join(base, os.path.relpath(there, "/opt/ml")))
    assert service["ports"] == [f"{PORT}:8080"], service["ports"]
    environment = dict(line.split("=", 1) for line in service["environment"])
    with open(os.path.join(FOLDER, "environment.jsonl"), "a") as seen:
        print(json.dumps(environment), file=seen)
    environment |= {"SAGEMAKER_BASE_DIR": base, "SAGEMAKER_BIND_TO_PORT": str(PORT)}
    os.dup2(1, 2)  # a container with a terminal has one stream
    os.execve(BINARY, [BINARY, *service["command"].split()], environment)


def wait():
    """Waits for the container: the SDK looks once, then sleeps five seconds."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            return socket.create_connection(("127.0.0.1", PORT), 1).close()
        except OSError:
            time.sleep(0.05)


match sys.argv[1:]:
    case ["compose", "version"]:
        print("Docker Compose version v2.40.0")
    case ["context", "inspect"]:
        wait()
        print(json.dumps([{"Endpoints": {"docker": {"Host": "tcp://127.0.0.1:2375"}}}]))
    case ["compose", "-f", file, "up", *_]:
        up(file)
    case other:
        sys.exit(f"nobody stands in for {other}")
