"""KServe's own client against a model called `mails`: `infer_kserve.py PORT`."""

import asyncio
import sys

import numpy as np
from httpx import HTTPStatusError
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

URL = f"http://127.0.0.1:{sys.argv[1]}"


def tensor(name, texts, binary):
    tensor = InferInput(name, [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    return tensor


async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60, retries=0)) as client:
        assert await client.is_model_ready(URL, "mails") and not await client.is_model_ready(URL, "other")
        found = []
        for binary in (True, False):
            mails = [tensor("subject", ["Depot", ""], binary), tensor("body", ["eröffnen", "Prämie"], binary)]
            request = InferRequest("mails", mails, request_id="r-7")
            response = await client.infer(URL, request, model_name="mails")
            assert response.id == "r-7" and response.model_name == "mails", response
            outputs = {output.name: output.data for output in response.outputs}
            assert outputs["error"] == ["", ""] and all(outputs["queue"]), outputs
            found.append(outputs)
        assert found[0] == found[1], found
        plain = {"inputs": [{"name": "body", "shape": [1], "datatype": "BYTES", "data": ["Prämie"]}]}
        response = await client.infer(URL, plain, model_name="mails")
        queue = next(output for output in response.outputs if output.name == "queue")
        assert queue.shape == [1] and queue.data[0] == found[0]["queue"][1], queue
        try:
            await client.infer(URL, plain, model_name="other")
        except HTTPStatusError as error:
            assert error.response.status_code == 404 and "no model of this name" in str(error), error
        else:
            raise AssertionError("a model that is not there")
        assert await client.is_server_live(URL) and await client.is_server_ready(URL)


asyncio.run(main())
