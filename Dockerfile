# One Dockerfile for every program of the workspace but the launcher (`dice`: containers need none).
# SERVICE says which one an image holds:
#
#   docker build --build-arg SERVICE=frontend -t frontend .
#
# The build stages do not depend on SERVICE, so all images share one compilation.
# Needs BuildKit (the default of `docker build` and `docker compose build`).

FROM rust:1-slim-bookworm AS toolchain
WORKDIR /src
# Puts the list of dependencies into each program, where scanners of images (Trivy, Syft, Grype) find it.
RUN cargo install cargo-auditable --version 0.7.7 --locked

# The workspace with every Rust file emptied: what the dependencies need to compile, and nothing else.
# This stage runs again after each change, but its result stays the same until a manifest changes, and the
# next stage is cached by that result.
FROM toolchain AS manifests
COPY Cargo.toml Cargo.lock ./
COPY learning learning
COPY crates crates
RUN find crates -type f ! -name Cargo.toml ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path '*/src/bin/*.rs' \
         ! -path '*/examples/*.rs' ! -path '*/benches/*.rs' -delete \
 && printf '//! Empty.\n#![allow(dead_code)]\nfn main() {}\n' > /tmp/empty.rs \
 && find crates -name '*.rs' -exec cp /tmp/empty.rs {} \; \
 && find crates -type d -empty -delete

# The dependencies, compiled once for each Cargo.lock.
FROM toolchain AS build
COPY --from=manifests /src ./
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo auditable build --locked --profile dist --workspace --exclude dice --exclude solver --bins

# The programs themselves. `touch`, because cargo compares times, and the real files can be older than the
# empty ones that were just compiled.
COPY docs/LEARN.md docs/LEARN.md
COPY crates crates
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    find crates -name '*.rs' -exec touch {} + \
 && cargo auditable build --locked --profile dist --workspace --exclude dice --exclude solver --bins

# What runs: glibc, certificates, one program; no shell, no package manager, and not root.
FROM gcr.io/distroless/cc-debian12:nonroot AS program
ARG SERVICE
COPY --from=build /src/target/dist/${SERVICE} /usr/local/bin/service
# `nonroot` of the base image, said again for what reads only this file.
USER 65532:65532

# REVISION: the commit, `--build-arg REVISION=$(git rev-parse HEAD)`.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.description="${SERVICE} of the dice system, instrumented with OpenTelemetry" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"

# HOST: inside a container, nothing outside reaches the loopback address.
#
# OTEL_BSP_* (spans) and OTEL_BLRP_* (log records): by default a queue of 2048 is exported 512 at a time, when 512 wait or,
# for spans, after 5 s; what comes while the queue is full is dropped and counted. This queue is as long as it has to be for
# 50,000 spans a second without loss (`cargo bench --bench lossless`, docs/PERFORMANCE.md), and no longer, because its
# memory is reserved at start. One second between exports, so that a trace is there when you look.
ENV HOST=0.0.0.0 \
    OTEL_BSP_MAX_QUEUE_SIZE=16384 \
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE=2048 \
    OTEL_BSP_SCHEDULE_DELAY=1000 \
    OTEL_BLRP_MAX_QUEUE_SIZE=16384 \
    OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=2048 \
    OTEL_BLRP_SCHEDULE_DELAY=1000

ENTRYPOINT ["/usr/local/bin/service"]

# The health check of a program that serves. There is no shell and no curl here, so the program requests its own /health.
FROM program AS service
HEALTHCHECK --interval=3s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/service", "healthcheck"]
