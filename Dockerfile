# syntax=docker/dockerfile:1

# The release of Rust that Cargo.toml asks for, on an older Debian than the one it will run on: a program needs the libc
# that it was linked to, or a newer one.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Downloads and compiled dependencies stay in caches of the builder: a change of ours compiles only what is ours. Cargo
# takes turns by itself in the first, the second is for one build at a time. No cache is part of a layer, so the program
# is copied out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release -p priyo-server \
    && install -D target/release/priyo-server /image/priyo-server \
    && install -d /image/data

# libc, libgcc and the certificates of public authorities, and no shell or package manager.
FROM gcr.io/distroless/cc-debian13:nonroot
LABEL org.opencontainers.image.title="Priyo" \
      org.opencontainers.image.description="A chat server over REST and Socket.IO" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image/priyo-server /usr/local/bin/priyo-server
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /image/data /data
ENV NODE_ENV=production
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
# Paths of the settings start here: without any, priyo.db and uploads/ are in the volume.
WORKDIR /data
VOLUME ["/data"]
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/priyo-server", "health"]
ENTRYPOINT ["/usr/local/bin/priyo-server"]
