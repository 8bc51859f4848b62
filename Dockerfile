# A static-enough binary on a base without a shell; runs as uid 65532.
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin daypass

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/daypass /usr/bin/daypass
USER 65532:65532
EXPOSE 9000
ENTRYPOINT ["/usr/bin/daypass"]
CMD ["serve", "--config", "/etc/daypass/daypass.toml"]
