# Rebuilds the whole paper: docker build -t sparsification . && docker run --rm --network none \
#   -v "$PWD/_output:/paper/_output" -v "$PWD/cache:/paper/cache" sparsification
FROM debian:bookworm-slim

# a reader on a CPU can choose a smaller torch: --build-arg PIP_EXTRA_INDEX_URL=…
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
# the user's number, so that mounted folders are writable: --build-arg UID=$(id -u)
ARG UID=1000

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git make python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid "$UID" --create-home author \
 && mkdir -p /paper && chown author:author /paper

WORKDIR /paper
USER author
ENV JOBLIB_TEMP_FOLDER=/tmp HF_HOME=/paper/cache/huggingface PYTHONUNBUFFERED=1
# first what setup needs: an edit of prose does not install everything again
COPY --chown=author:author Makefile requirements*.lock ./
RUN make setup && mkdir -p _output
COPY --chown=author:author . .

CMD ["make", "report"]
