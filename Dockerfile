# syntax=docker/dockerfile:1

# The image of every role: `web` (default), `worker`, `inbound`, `scheduler`, and one-shot commands such as `db upgrade`.
# Python 3.11 is what the tests run on.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock ./
# Exactly what was tested, by hash, and nothing that would have to be compiled.
RUN python -m venv /app/venv \
 && /app/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY mailinglist ./mailinglist
COPY worker ./worker
COPY templates ./templates
# Compiled here, since the file system is read-only later. The folders lend their owner to the volumes that are mounted on them.
RUN /app/venv/bin/python -m compileall -q mailinglist worker \
 && printf '#!/bin/sh\nexec python -P -m mailinglist "$@"\n' > /app/venv/bin/mailinglist \
 && chmod 0755 /app/venv/bin/mailinglist \
 && install -d -o 10001 -g 10001 -m 0700 /data /optouts /backups

FROM python:3.11-slim-bookworm
ENV PATH=/app/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MAILINGLIST_DATA_DIR=/data \
    MAILINGLIST_BIND=0.0.0.0:8000
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /data /data
COPY --from=build --chown=10001:10001 /optouts /optouts
COPY --from=build --chown=10001:10001 /backups /backups
WORKDIR /app
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
VOLUME /data /optouts /backups
EXPOSE 8000 10024
# For the web role; the others switch it off (docker-compose.yml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["mailinglist"]
CMD ["web"]
