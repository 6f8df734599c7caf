# docker build -t stacserve .
# docker run -p 8000:8000 -v ./catalog:/catalog:ro -v stacserve-index:/index stacserve

FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY stacserve ./stacserve
RUN python -m venv /opt/stacserve \
    && /opt/stacserve/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stacserve \
    && mkdir /catalog /index \
    && chown stacserve:stacserve /index
COPY --from=build /opt/stacserve /opt/stacserve
ENV PATH=/opt/stacserve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STACSERVE_SOURCE=/catalog \
    STACSERVE_HOST=0.0.0.0 \
    STACSERVE_PORT=8000 \
    XDG_CACHE_HOME=/index
USER stacserve
VOLUME /index
EXPOSE 8000
# A cold index of a large catalog takes minutes, and the port opens after it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"STACSERVE_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["stacserve"]
