# syntax=docker/dockerfile:1
# Gatehouse and nothing else: one static file, the certificates that it trusts, and
# a folder for data.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t gatehouse .
#   docker run --read-only --cap-drop ALL -p 8080:8080 -v gatehouse:/var/lib/gatehouse gatehouse
#
# Several nodes over PostgreSQL: compose.yaml.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=development
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH make build VERSION="$VERSION"
RUN install -d -m 0700 /out

FROM scratch
ARG VERSION=development
LABEL org.opencontainers.image.title="Gatehouse" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/gatehouse /gatehouse
# A new volume takes its owner from here. Nothing else is ever written, so that the
# root may be read-only. Times are told in UTC: no time zones are needed.
COPY --from=build --chown=65532:65532 /out /var/lib/gatehouse
WORKDIR /var/lib/gatehouse
VOLUME /var/lib/gatehouse
# The number of no user, so that whoever runs it can tell that it is not root.
USER 65532:65532
ENV GATEHOUSE_LISTEN=:8080
EXPOSE 8080
# For one that does not answer any more. Whether it should be sent requests is
# another question: /readyz, or "gatehouse health --ready".
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["/gatehouse", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/gatehouse"]
CMD ["serve"]
