# SPDX-License-Identifier: LGPL-2.1-or-later
"""Certificates as libvirt and QEMU want them, and a libvirtd on each host that listens with TLS,
libvirt's default transport. Knows nothing of migrations."""

import os

from . import proc

# https://libvirt.org/kbase/tlscerts.html; QEMU's creds are looked for in /etc/pki/qemu.
PLACES = {
    "/etc/pki/CA/cacert.pem": "ca.pem",
    "/etc/pki/libvirt/servercert.pem": "{host}.pem",
    "/etc/pki/libvirt/private/serverkey.pem": "{host}.key",
    "/etc/pki/libvirt/clientcert.pem": "{host}.pem",
    "/etc/pki/libvirt/private/clientkey.pem": "{host}.key",
    "/etc/pki/qemu/ca-cert.pem": "ca.pem",
    "/etc/pki/qemu/server-cert.pem": "{host}.pem",
    "/etc/pki/qemu/server-key.pem": "{host}.key",
    "/etc/pki/qemu/client-cert.pem": "{host}.pem",
    "/etc/pki/qemu/client-key.pem": "{host}.key",
}


def _openssl(directory, *args):
    proc.run(["env", "-C", directory, "openssl", *args])


def _make(lab):
    directory = os.path.join(lab.dir, "pki")
    os.makedirs(directory, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(directory, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
             "-subj", "/CN=postcopyd lab", "-addext", "keyUsage=critical,keyCertSign")
    for host in lab.hosts:
        names = [f"DNS:{host.name}", *(f"IP:{address}" for address in host.addresses.values())]
        with open(os.path.join(directory, f"{host.name}.ext"), "w") as f:
            f.write(f"subjectAltName={','.join(names)}\nbasicConstraints=critical,CA:FALSE\n"
                    "keyUsage=critical,digitalSignature,keyEncipherment\n"
                    "extendedKeyUsage=serverAuth,clientAuth\n")
        _openssl(directory, "req", *key, "-keyout", f"{host.name}.key", "-out", f"{host.name}.csr",
                 "-subj", f"/CN={host.name}")
        _openssl(directory, "x509", "-req", "-in", f"{host.name}.csr", "-CA", "ca.pem", "-CAkey",
                 "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{host.name}.ext", "-out",
                 f"{host.name}.pem")
    return directory


def use_tls(lab):
    """From now on both libvirtds listen with TLS only."""
    directory = _make(lab)
    for host in lab.hosts:
        for target, source in PLACES.items():
            with open(os.path.join(directory, source.format(host=host.name))) as f:
                host.write(target, f.read())
        conf = host.run("cat", "/etc/libvirt/libvirtd.conf").out
        host.write("/etc/libvirt/libvirtd.conf", conf.replace("listen_tls = 0", "listen_tls = 1")
                   .replace("listen_tcp = 1", "listen_tcp = 0"))
    for host in lab.hosts:
        host.restart_libvirtd()
