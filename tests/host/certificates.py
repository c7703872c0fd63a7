# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates for tests, by openssl: good ones, and those that nobody should accept."""
import os
import subprocess

GOOD = ("IP:127.0.0.1", "DNS:localhost")
# When it is valid, as openssl ca takes it; TODAY is for two days.
TODAY, PAST, FUTURE = None, ("20200101000000Z", "20200102000000Z"), ("20980101000000Z", "20990101000000Z")
CONFIG = """[ca]
default_ca = here
[here]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = any
rand_serial = yes
[any]
commonName = supplied
"""


def make(folder, names=GOOD, when=TODAY):
    """Of an authority of its own: ca.pem, server.pem, server.key. Returns the folder."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True, timeout=60)

    def write(name, text):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(text)
    os.makedirs(folder, exist_ok=True)
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority",
            "-days", "2", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *ec, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=receiver")
    write("ext", "subjectAltName=" + ",".join(names))
    write("ca.conf", CONFIG)
    write("index.txt", "")
    dates = ["-startdate", when[0], "-enddate", when[1]] if when else ["-days", "2"]
    openssl("ca", "-batch", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext",
            "-in", "server.csr", "-extfile", "ext", "-out", "server.pem", *dates)
    return folder
