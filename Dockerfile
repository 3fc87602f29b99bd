# vggbench with PyTorch for CUDA; on a machine without a GPU it takes the CPU.
#
#   docker build --tag vggbench .
#   docker run --rm vggbench quickstart
#   docker run --rm --gpus all --ipc host --user "$(id -u):$(id -g)" \
#     --volume "$PWD:/work" --volume /data/imagenet:/imagenet:ro vggbench eval D --data /imagenet
FROM python:3.12-slim

WORKDIR /opt/vggbench
COPY pyproject.toml README.md LICENSE ./
COPY vggbench ./vggbench
RUN pip install --no-cache-dir . && mkdir --mode=1777 /work /cache

ENV VGGBENCH_RUNS=/work/runs VGGBENCH_CACHE=/cache
WORKDIR /work
# nobody
USER 65534
ENTRYPOINT ["vggbench"]
