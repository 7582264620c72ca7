# One Dockerfile for every program of the workspace but the launcher (`dice`: containers need none).
# SERVICE says which one an image holds:
#
#   docker build --build-arg SERVICE=frontend -t frontend .
#
# The build stages do not depend on SERVICE, so all images share one compilation.
# Needs BuildKit (the default of `docker build` and `docker compose build`).

FROM rust:1-slim-bookworm AS toolchain
WORKDIR /src

# The workspace with every Rust file emptied: what the dependencies need to compile, and nothing else.
# This stage runs again after each change, but its result stays the same until a manifest changes, and the
# next stage is cached by that result.
FROM toolchain AS manifests
COPY Cargo.toml Cargo.lock ./
COPY crates crates
RUN find crates -type f ! -name Cargo.toml ! -path '*/src/lib.rs' ! -path '*/src/main.rs' ! -path '*/src/bin/*.rs' \
         ! -path '*/examples/*.rs' ! -path '*/benches/*.rs' -delete \
 && for f in $(find crates -name '*.rs'); do printf '//! Empty.\n#![allow(dead_code)]\nfn main() {}\n' > "$f"; done \
 && find crates -type d -empty -delete

# The dependencies, compiled once for each Cargo.lock.
FROM toolchain AS build
COPY --from=manifests /src ./
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --locked --profile dist --workspace --exclude dice --bins

# The programs themselves. `touch`, because cargo compares times, and the real files can be older than the
# empty ones that were just compiled.
COPY crates crates
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    find crates -name '*.rs' -exec touch {} + \
 && cargo build --locked --profile dist --workspace --exclude dice --bins

# What runs: glibc, certificates, one program; no shell, no package manager, and not root.
FROM gcr.io/distroless/cc-debian12:nonroot AS program
ARG SERVICE
COPY --from=build /src/target/dist/${SERVICE} /usr/local/bin/service

# HOST: inside a container, nothing outside reaches the loopback address.
#
# OTEL_BSP_* (spans) and OTEL_BLRP_* (log records): the specification's defaults (a queue of 2048, exported 512 at a time,
# spans every 5 s) drop spans from a few hundred a second on. The SDK reserves the memory of the whole queue of spans at
# start, so this one is as long as it has to be for 50,000 spans a second without loss (`cargo bench --bench lossless`,
# docs/PERFORMANCE.md), and no longer. One second between exports, so that a trace is there when you look.
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
