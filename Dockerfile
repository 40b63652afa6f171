# The images of Linkgate: `store`, `cli` (the command line), `gateway` (Envoy with our filter and command line), `sample`
# (the demo's origin) and `filter` (the filter alone, for other hosts of proxy-wasm). See docs/DEPLOYMENT.md.
#
#   docker build --target store -t linkgate-store .
#
# `cargo xtask images` makes the same images of programs that it builds on this machine, without the stage `build`.
# Name both by digest to build on what you have looked at (docs/DEPLOYMENT.md).
ARG ENVOY=envoyproxy/envoy:v1.40.0
ARG RUST=rust:1.95.0-bookworm

FROM ${RUST} AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates musl-tools
WORKDIR /linkgate
COPY . .
# Git is not sent along: what programs say of themselves comes from whoever builds.
ARG REVISION=unknown
ARG DATE=unknown
RUN LINKGATE_BUILD_COMMIT="$REVISION" LINKGATE_BUILD_DATE="$DATE" cargo xtask images --stage /stage
# What follows takes what it needs from /stage only, and runs nothing: most of it has no shell.

# The labels that all images of our own programs have.
FROM scratch AS labels
ARG VERSION=unknown
ARG REVISION=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$DATE"

FROM labels AS filter
LABEL org.opencontainers.image.title="linkgate-filter" \
      org.opencontainers.image.description="The gate of Linkgate, a proxy-wasm filter"
# The name that Istio looks for.
COPY --from=build /stage/filter/ /

FROM labels AS store
LABEL org.opencontainers.image.title="linkgate-store" \
      org.opencontainers.image.description="The store of Linkgate: downloads packages by URL, verifies, stores and records them"
COPY --from=build /stage/store/ /
COPY --from=build --chown=65532:65532 /stage/store-folders/ /
USER 65532:65532
ENV LINKGATE_DATA_DIR=/data LINKGATE_LOG_FORMAT=json
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/linkgate-store", "health"]
ENTRYPOINT ["/usr/local/bin/linkgate-store"]

FROM labels AS cli
LABEL org.opencontainers.image.title="linkgate-cli" \
      org.opencontainers.image.description="The command line of Linkgate, with the filter and the reference configuration"
COPY --from=build /stage/cli/ /
COPY --from=build --chown=65532:65532 /stage/cli-folders/ /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/linkgate"]

FROM labels AS sample
LABEL org.opencontainers.image.title="linkgate-sample" \
      org.opencontainers.image.description="The demo of Linkgate: credentials, and an origin with one package"
COPY --from=build /stage/sample/ /
COPY --from=build --chown=65532:65532 /stage/sample-folders/ /
USER 65532:65532
EXPOSE 8090
ENTRYPOINT ["/usr/local/bin/xtask", "demo"]

FROM ${ENVOY} AS gateway
ARG VERSION=unknown
ARG REVISION=unknown
ARG DATE=unknown
LABEL org.opencontainers.image.title="linkgate-gateway" \
      org.opencontainers.image.description="Envoy with the gate of Linkgate" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$DATE"
COPY --from=build /stage/gateway/ /
COPY --from=build --chown=65532:65532 /stage/gateway-folders/ /
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/linkgate", "envoy", "ready"]
ENTRYPOINT ["/usr/local/bin/linkgate"]
