"""nginx as a reverse proxy: one hop and no tunnel, so what a good proxy alone costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.peers.route import Peer, Route
from benchmarks.programs import find, free_port, path_of, running

# One process, as in the tunnels. Nothing is buffered on disk: those buffers would be measured
# instead. Connections on both sides are kept, whatever the number of requests.
CONFIG = """
daemon off; master_process off; pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; client_max_body_size 0;
    client_body_temp_path temp; proxy_temp_path temp;
    fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    upstream app {{
        server 127.0.0.1:{backend_port}; keepalive 64; keepalive_requests 1000000000;
    }}
    map $http_upgrade $connection_field {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://app; proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_field;
            proxy_request_buffering off; proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


@asynccontextmanager
async def open_nginx(backend_port: int, folder: Path) -> AsyncIterator[Route]:
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(backend_port=backend_port, port=port))
    argv = [path_of("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    async with running("nginx", argv, folder) as nginx:
        await nginx.listening(port)
        yield Route(port, f"127.0.0.1:{port}", {"server": nginx.pid})


def missing() -> list[str]:
    return [] if find("nginx") else ["nginx"]


NGINX = Peer("nginx", missing, open_nginx)
