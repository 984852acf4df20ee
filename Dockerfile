# syntax=docker/dockerfile:1
# Serves the built-in model on the processor. For an NVIDIA GPU: Dockerfile.trt.
#
#   docker build -t vesselrt .
#   docker run -p 127.0.0.1:8000:8000 vesselrt
#
# compose.yaml runs it with a key, limits and nothing that it does not need.

FROM node:22-bookworm-slim AS page
WORKDIR /build/server/web
COPY server/web/package.json server/web/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY server/web .
RUN NEXT_TELEMETRY_DISABLED=1 npm run build

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
COPY docker/requirements.sh docker/
COPY requirements/run.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip docker/requirements.sh /opt/vesselrt requirements/run.txt
COPY . .
COPY --from=page /build/server/static/page server/static/page
RUN /opt/vesselrt/bin/python -m pip --disable-pip-version-check install --no-input --no-deps --no-build-isolation . \
    && /opt/vesselrt/bin/python -m pip --disable-pip-version-check uninstall --yes setuptools pip openvino-telemetry

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --home-dir /srv/vesselrt --create-home --shell /usr/sbin/nologin vesselrt
COPY --from=build /opt/vesselrt /opt/vesselrt
ENV PATH=/opt/vesselrt/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /srv/vesselrt
EXPOSE 8000
# Ready, not only alive. http.client heeds no proxy settings.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=1s CMD ["python", "-c", \
    "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["vesselrt"]
CMD ["serve", "--host", "0.0.0.0"]
