"""What the operator sets for the door. The docstring under a field says why one would change it."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict

PositiveSeconds = Annotated[float, Meta(gt=0)]
PositiveCount = Annotated[int, Meta(ge=1)]


class ServerSettings(Strict):
    """Where the gateway listens and whom it lets in."""

    host: str = "127.0.0.1"
    """The address to listen on; anything but loopback needs a token."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """The TCP port; 0 takes a free one."""
    public_url: str | None = None
    """How clients and trainers reach the gateway (None = http://host:port); set it behind a proxy and on clusters."""
    allowed_hosts: list[str] = []
    """Names in the Host header that are taken besides loopback, `host` and that of `public_url`; "*" takes any."""
    head_deadline_s: PositiveSeconds = 10.0
    """How long a client may take to send its request line and headers."""
    max_connections: PositiveCount = 4096
    """Connections at the same time; at the limit an idle one is closed for the next, and where all work it gets a 503."""
    max_requests: PositiveCount = 1024
    """Requests worked on at the same time, streams and probes apart; the next one gets a 503 with retry-after."""
    max_body_memory_bytes: PositiveCount = 134_217_728
    """What the bodies under way may hold together; the next one gets a 503 with retry-after."""
    overload_unready_s: PositiveSeconds = 10.0
    """Once requests were turned away for so long without a break, /readyz says so and load can go to other replicas."""
    body_limit_bytes: PositiveCount = 262_144
    """Longest body of a request; a job is a few kB, so more is a mistake or an attack."""
    body_deadline_s: PositiveSeconds = 30.0
    """How long a client may take to send its body: slow senders must not hold connections."""
    max_streams: PositiveCount = 1000
    """Event and log streams open at the same time; each holds a connection."""
    stream_ping_s: PositiveSeconds = 15.0
    """A sign of life on quiet event streams, so that proxies keep them open."""
    stream_stall_s: PositiveSeconds = 60.0
    """A client that takes nothing of its answer for so long is cut; a stream can come back with Last-Event-ID."""
    idle_timeout_s: PositiveCount = 75
    """Idle connections are closed after this; keep it above the idle time of a proxy in front."""
    shutdown_grace_s: PositiveCount = 20
    """How long requests under way may take once the gateway was asked to stop."""
    metrics_open: bool = False
    """Let /metrics be read without a token: for scrapers that can't send one."""
    dashboard: bool = True
    """Serve the page for people at /ui; it holds nothing by itself, who uses it needs a token."""
    access_log: bool = True
    """One log line per request, without query strings."""
