# SPDX-License-Identifier: LGPL-2.1-or-later
"""A libvirt behind TLS whose certificate nobody should accept: what its callers say."""
import contextlib
import pathlib
import shutil
import socket
import ssl
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "host"))
import certificates  # noqa: E402

KINDS = {"expired": {"when": certificates.PAST}, "early": {"when": certificates.FUTURE},
         "elsewhere": {"names": ("DNS:elsewhere.example",)}}


def serve(listener, context):
    """Each who comes, until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as peer:
            peer.settimeout(10)
            peer.recv(1)


@contextlib.contextmanager
def uri(folder, kind):
    folder = pathlib.Path(certificates.make(str(folder / kind), **KINDS[kind]))
    shutil.copy(folder / "ca.pem", folder / "cacert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, context), daemon=True)
        thread.start()
        yield f"qemu+tls://127.0.0.1:{listener.getsockname()[1]}/system?pkipath={folder}"
