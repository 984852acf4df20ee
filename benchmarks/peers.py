"""What one would serve instead: PyTorch and MONAI's sliding windows behind FastAPI, LitServe or Ray Serve.

    python -m vesselrt.benchmarks.peers fastapi --port 8001

Each is written as its documentation shows it. The network, the decoder and the windows are those of the column
`pytorch+monai` of `vesselrt bench --compare`; the scale of the photograph comes with the request.
"""

import os
from typing import Annotated, Literal

import typer
import uvicorn
from fastapi import FastAPI, Response, UploadFile

from vesselrt.benchmarks.options import ModelName, ThreadCount
from vesselrt.benchmarks.peer_model import PeerModel
from vesselrt.runtime.hardware import usable_cores


def with_fastapi(model: str | None, threads: int, port: int) -> None:
    """A function that FastAPI runs in its pool of threads."""
    loaded, app = PeerModel(model, threads), FastAPI()

    @app.post("/predict")
    def predict(image: UploadFile, factor: float) -> Response:
        return Response(loaded(image.file.read(), factor), media_type="image/png")

    @app.get("/health")
    def health() -> None:
        pass

    uvicorn.run(app, port=port, log_level="warning")


def with_litserve(model: str | None, threads: int, port: int) -> None:
    """One worker process behind an HTTP process."""
    import litserve

    from vesselrt.benchmarks.litserve_api import Api

    server = litserve.LitServer(Api(model, threads), accelerator="cpu", timeout=False)
    server.run(port=port, generate_client_file=False, log_level="warning")


def with_ray(model: str | None, threads: int, port: int) -> None:
    """The FastAPI application as an ingress, one replica."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when it starts
    from ray import serve

    app = FastAPI()

    @serve.deployment(ray_actor_options={"num_cpus": 1})
    @serve.ingress(app)
    class Ingress:
        def __init__(self) -> None:
            self.loaded = PeerModel(model, threads)

        @app.post("/predict")
        def predict(self, image: UploadFile, factor: float) -> Response:
            return Response(self.loaded(image.file.read(), factor), media_type="image/png")

        @app.get("/health")
        def health(self) -> None:
            pass

    serve.start(http_options={"port": port})
    serve.run(Ingress.bind(), blocking=True)  # type: ignore[attr-defined]


SERVERS = {"fastapi": with_fastapi, "litserve": with_litserve, "ray serve": with_ray}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve_peer(
    kind: Annotated[Literal["fastapi", "litserve", "ray serve"], typer.Argument(help="What serves.")],
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    model: ModelName = None,
    threads: ThreadCount = None,
) -> None:
    """Serve until it is stopped."""
    SERVERS[kind](model, threads or usable_cores(), port)


if __name__ == "__main__":
    app()
