# The full name: Podman may have no short ones.
FROM docker.io/library/python:3.12.12-slim-trixie

ARG UV_VERSION=0.13.8
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"

# Bytecode is compiled here because the user below may not write to the environment.
ENV UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    PATH="/app/.venv/bin:$PATH"

WORKDIR /app

# The dependencies are a layer of their own, rebuilt only when the lock changes.
# The extras: the run store in Postgres, the page, events to an OpenLineage server.
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-dev --extra openlineage --extra postgres --extra serve --no-install-project

COPY . .
RUN uv sync --locked --no-dev --extra openlineage --extra postgres --extra serve

# Headrace writes to data alone; a bare dbt, called by hand, also to its project.
RUN useradd --create-home --uid 1000 headrace \
    && mkdir -p data \
    && chown -R headrace:headrace data dbt_project
USER headrace

VOLUME /app/data
HEALTHCHECK --interval=5m --timeout=30s --start-period=30s CMD ["headrace", "doctor"]
ENTRYPOINT ["headrace"]
CMD ["run"]
