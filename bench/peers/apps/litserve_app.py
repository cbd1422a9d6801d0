"""LitServe as its documentation shows it: one API class, its default of one worker; batches when told to."""

import litserve
from graph import Graph, arguments

GIVEN = arguments()


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.graph = Graph(GIVEN.file)

    def predict(self, request: dict) -> dict:
        return self.graph.infer(request)


class Together(Served):
    def batch(self, inputs: list) -> list:
        return inputs

    def predict(self, requests: list) -> list:
        return self.graph.infer_all(requests)

    def unbatch(self, output: list) -> list:
        return output


if __name__ == "__main__":
    api = Together(max_batch_size=GIVEN.batch, batch_timeout=0.005) if GIVEN.batch else Served()
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(host="127.0.0.1", port=GIVEN.port, num_api_servers=1, generate_client_file=False, log_level="warning")
