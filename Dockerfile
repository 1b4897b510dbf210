# Full image names, because Podman may not know short ones.
FROM docker.io/library/python:3.12.12-slim-trixie AS build

ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"

# Bytecode is compiled here, because the environment is read-only later.
ENV UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never

WORKDIR /app

# The dependencies are a separate layer, rebuilt only when the lock changes.
# The extras: the run store in Postgres, the page, events to an OpenLineage server, spans of runs.
# Further ones, which docker-compose.yml sets for the stand-ins: "--extra redshift".
ARG MORE_EXTRAS=""
COPY pyproject.toml uv.lock ./
# hadolint ignore=SC2086
RUN uv sync --locked --no-dev --extra openlineage --extra otel --extra postgres --extra serve ${MORE_EXTRAS} --no-install-project

COPY . .
# hadolint ignore=SC2086
RUN uv sync --locked --no-dev --extra openlineage --extra otel --extra postgres --extra serve ${MORE_EXTRAS} \
    && .venv/bin/python -m compileall -q dlt_pipelines src


FROM docker.io/library/python:3.12.12-slim-trixie

# Headrace writes only to /data; the project itself belongs to root.
RUN useradd --create-home --uid 1000 headrace \
    && mkdir /data \
    && chown headrace:headrace /data

COPY --from=build /app /app

# dbt, when called by hand, writes to /tmp.
ENV PATH="/app/.venv/bin:$PATH" \
    HEADRACE_DATA_DIR=/data \
    DBT_TARGET_PATH=/tmp/dbt/target \
    DBT_LOG_PATH=/tmp/dbt/logs \
    PYTHONUNBUFFERED=1

WORKDIR /app
# As a number, so that an orchestrator can see that it is not root.
USER 1000:1000

# Not below /app, where it would hide a newer image's data/schemas.
VOLUME /data
ENTRYPOINT ["headrace"]
CMD ["run"]
