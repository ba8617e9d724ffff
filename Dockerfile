# docker build -t faces .                                       CPU
# docker build -t faces-gpu --build-arg REQUIREMENTS=requirements-gpu.txt .
# mkdir -p out && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/out:/out" \
#     faces --src sample --no-window --output /out/sample.mp4
# docker run --rm --gpus all faces-gpu --src rtsp://camera/stream --no-window --events -
FROM python:3.11-slim

ARG REQUIREMENTS=requirements-live.txt

# libgl1 and libglib2.0-0: what OpenCV's wheel takes from the system.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --groups video faces

WORKDIR /app
COPY requirements*.txt ./
RUN pip install --no-cache-dir --require-hashes -r "$REQUIREMENTS"
COPY . .

USER faces
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["python", "stream.py"]
CMD ["--help"]
