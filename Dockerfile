# docker build -t faces .                                       CPU
# docker build -t faces-gpu --build-arg EXTRA=gpu .
# mkdir -p out && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/out" \
#     faces --src sample --no-window --output /out/sample.mp4
# docker run --rm --gpus all faces-gpu --src rtsp://camera/stream --no-window --events -
FROM python:3.11-slim

# libgl1 and libglib2.0-0: what OpenCV's wheel takes from the system.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --groups video faces

WORKDIR /app
COPY requirements-live.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-live.txt
COPY . .
ARG EXTRA=""
RUN pip install --no-cache-dir ".${EXTRA:+[$EXTRA]}" && rm -r build

USER faces
WORKDIR /home/faces
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["faces"]
CMD ["--help"]
