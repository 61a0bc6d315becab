# An image that starts at once: every kernel is compiled while it is built.
#   docker build -t convexnn . && docker run --rm convexnn backends
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir '/src[cli]' && rm -rf /src
ENV NUMBA_CACHE_DIR=/opt/convexnn-kernels
RUN convexnn warm-up && chmod -R a+rX "$NUMBA_CACHE_DIR"
WORKDIR /data
ENTRYPOINT ["convexnn"]
