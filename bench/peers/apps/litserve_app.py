"""LitServe as its documentation shows it: one API class, its default of one worker, no batching."""

import litserve
from graph import Graph, arguments

GIVEN = arguments()


class Served(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.graph = Graph(GIVEN.file)

    def predict(self, request: dict) -> dict:
        return self.graph.infer(request)


if __name__ == "__main__":
    server = litserve.LitServer(Served(), accelerator="cpu")
    server.run(host="127.0.0.1", port=GIVEN.port, num_api_servers=1, generate_client_file=False, log_level="warning")
