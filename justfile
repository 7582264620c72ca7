# The commands of README.md and QUICK-START.md under short names (https://just.systems); a test compares them.

# The names of all recipes
default:
    @just --list

# The system on this machine: http://127.0.0.1:8108
run *flags:
    cargo run {{ if flags == "" { "" } else { "-- " + flags } }}

# All tests
test:
    cargo test --workspace

# Does every signal of the running system arrive? `--stack` for the Docker stack
doctor *flags:
    cargo run -- doctor {{ flags }}

# Simulated users through the frontend
traffic *flags:
    cargo run -- generate-traffic {{ flags }}

# Ten rolls one after the other against ten at once
performance *flags:
    cargo run -- async-performance {{ flags }}

# What telemetry costs, and how many spans a service can export
bench *flags:
    cargo bench {{ flags }}

# A program of each part, in target/release
release:
    cargo build --release --workspace

# The stack with Collector, Tempo, Loki, Prometheus and Grafana
up:
    docker compose up --build --wait

# Stops the stack; add -v to forget all data
down *flags:
    docker compose down {{ flags }}

# What CI runs
ci:
    .ci/run
