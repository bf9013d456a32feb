"""
TLS in front of a server that speaks none itself.
"""

import asyncio
import ssl
import threading
from contextlib import contextmanager, suppress

import trustme


@contextmanager
def behind_tls(port, folder):
    """
    Forward TLS connections for "localhost" to a port for a block.

    Returns:
        The port to connect to, and the file of the authority that signed its certificate.
    """
    authority = trustme.CA()
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    started, stopping = threading.Event(), []
    ports = []

    async def serve():
        ended = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), ended))
        server = await asyncio.start_server(lambda *near: forward(*near, port), "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield ports[0], trusted
    finally:
        ((loop, ended),) = stopping
        loop.call_soon_threadsafe(ended.set)
        thread.join()


async def forward(reader, writer, port):
    """
    Copy in both directions until both sides are done.
    """
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def copy(reader, writer):
    """
    Copy in one direction.
    """
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
