"""The same server as a deployment of Ray Serve, which starts replicas of it and balances between them.

    serve run vesselrt.server.ray:app

The settings are the same variables of the environment. Those of the listening socket do nothing: Ray Serve listens.
"""

from fastapi import FastAPI

from vesselrt.runtime.telemetry import turn_off
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import models_from_settings

turn_off()
from ray import serve  # noqa: E402 - after its telemetry was turned off


def make_application() -> FastAPI:
    """In a replica, where the models are loaded before it takes a request."""
    from vesselrt.server.http.application import create_app

    settings = ServerSettings()
    return create_app(models_from_settings(settings), settings, wait=True)


@serve.deployment(name="vesselrt")
@serve.ingress(make_application)
class Replica:
    """Its answers are those of the application; Ray Serve wants a class."""


app = Replica.bind()  # type: ignore[attr-defined]  # what the decorator adds
