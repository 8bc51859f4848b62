# The binary on a base without a shell, as uid 65532. Writes nothing: run it with --read-only --cap-drop=ALL.
FROM docker.io/library/rust:1.94.1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /daypass
COPY . .
RUN make release

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="daypass" \
      org.opencontainers.image.description="Temporary credentials for any S3 storage" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /daypass/LICENSE /usr/share/doc/daypass/LICENSE
COPY --from=build /daypass/target/dist/release/daypass /usr/bin/daypass
USER 65532:65532
EXPOSE 9000 9001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/daypass"]
# Asks the admin listener, so the configuration needs [admin]; else run it with --no-healthcheck.
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s --retries=3 \
    CMD ["/usr/bin/daypass", "health", "--live", "--config", "/etc/daypass/daypass.toml"]
CMD ["serve", "--config", "/etc/daypass/daypass.toml"]
