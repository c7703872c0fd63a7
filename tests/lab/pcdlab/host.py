# SPDX-License-Identifier: LGPL-2.1-or-later
"""One libvirt host: its namespaces, its private directories, its daemons.
Knows nothing of domains, migrations, or how the network is broken."""

import json
import os
import shutil
import signal
import subprocess
import time

from . import ids, proc
from .events import Recorder
from .proc import LabError
from .wait import wait_for

POLICIES = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../../policies"))
BUS = "unix:path=/run/dbus/postcopyd-lab"
LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"

LIBVIRTD_CONF = """\
host_uuid = "{uuid}"
listen_tls = 0
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
{extra}"""

# No cgroups: both hosts' domains of the same name and id would share one.
QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
remember_owner = 0
namespaces = []
"""

BUS_CONF = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow own="org.postcopyd"/>
  </policy>
</busconfig>
"""

# All of /run is this host's own. The other folders named are overlays, so that what the real machine
# lacks (/etc/postcopyd) can be made here without touching it.
SETUP = """\
set -e
R=$1 NAME=$2
shift 2
mount --make-rprivate /
hostname "$NAME"
for d in "$@"; do
  u=$R/$(echo $d | tr / -)
  mkdir -p "$u" "$u.work"
  mount -t overlay -o "lowerdir=/$d,upperdir=$u,workdir=$u.work" overlay "/$d"
done
mkdir -p "$R"/run/dbus "$R"/run/libvirt "$R"/run/postcopyd "$R"/run/lock "$R"/log "$R"/cache
chmod 755 "$R"/run
mount --bind "$R"/run /run
mount --bind "$R"/log /var/log/libvirt
mount --bind "$R"/cache /var/cache/libvirt
rm -rf /var/lib/libvirt/qemu /etc/libvirt/qemu /etc/libvirt/hooks /etc/postcopyd /var/lib/postcopyd
mkdir -p /var/lib/libvirt/qemu /var/lib/libvirt/serial /etc/libvirt/qemu /etc/libvirt/hooks/qemu.d
mkdir -p /etc/postcopyd /var/lib/postcopyd
touch "$R"/ready
exec sleep infinity
"""


class Host:
    """`src` or `dst`. Everything started through it runs inside its namespaces."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.index = ids.HOSTS.index(name) + 1
        self.dir = os.path.join(lab.dir, name)
        self.netns = ids.netns(lab.id, name)
        self.addresses = {"migration": f"10.9.0.{self.index}", "alternate": f"10.9.1.{self.index}"}
        self._recorders = []
        self.confinement = []  # argv that postcopyd is started through

    # State that other processes can read, kept in lab.json

    @property
    def state(self):
        return self.lab.state["hosts"].setdefault(self.name, {})

    def _remember(self, key, pid):
        self.state[key] = {"pid": pid, "started": proc.start_time(pid)} if pid else None
        self.lab.save()

    def _pid(self, key):
        entry = self.state.get(key)
        return entry["pid"] if entry and proc.is_alive(entry["pid"], entry["started"]) else None

    @property
    def anchor(self):
        """The process that holds the namespaces."""
        pid = self._pid("anchor")
        if pid is None:
            raise LabError(f"host {self.name} of lab {self.lab.id} is not up")
        return pid

    # Up and down

    def make_namespaces(self):
        os.makedirs(self.dir, exist_ok=True)
        proc.run(["ip", "netns", "add", self.netns])
        proc.run(["ip", "-n", self.netns, "link", "set", "lo", "up"])
        # Below libvirt's migration ports: else a client's own port is one of them now and then, and
        # is taken for a migration by whoever goes by the number, our breaks first of all.
        proc.run(["ip", "netns", "exec", self.netns, "sysctl", "-qw",
                  "net.ipv4.ip_local_port_range=32768 49151"])
        self.state["netns_inode"] = os.stat(f"/run/netns/{self.netns}").st_ino
        with open(self.path("anchor.log"), "w") as log:
            child = subprocess.Popen(
                ["ip", "netns", "exec", self.netns, "unshare", "--mount", "--uts", "sh", "-c",
                 SETUP, "setup", self.dir, self.name, "etc", "var/lib",
                 *(["usr"] if self.lab.installed else [])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._remember("anchor", child.pid)
        ready = self.path("ready")
        wait_for(lambda: os.path.exists(ready) or child.poll() is not None, 10,
                 f"namespaces of host {self.name}")
        if child.poll() is not None:
            raise LabError(f"host {self.name}: {self.read('anchor.log').strip()}")

    def configure(self, hook=None, debug=False):
        uuid = f"0000000{self.index}-1111-2222-3333-{int(self.lab.id, 16):012x}"
        extra = ('log_filters="1:qemu.qemu_monitor 1:qemu.qemu_migration 1:qemu.qemu_process"\n'
                 'log_outputs="1:file:/var/log/libvirt/libvirtd.log"\n') if debug else ""
        self.write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF.format(uuid=uuid, extra=extra))
        self.write("/etc/libvirt/qemu.conf", QEMU_CONF)
        self.write("/etc/postcopyd/bus.conf", BUS_CONF.format(address=BUS))
        self.write("/etc/hosts", "127.0.0.1 localhost\n10.9.0.1 src\n10.9.0.2 dst\n"
                                 "10.9.1.1 src-alternate\n10.9.1.2 dst-alternate\n")
        if hook:
            target = self.inside("/etc/libvirt/hooks/qemu.d/postcopyd")
            shutil.copy(hook, target)
            os.chmod(target, 0o755)
        if self.lab.installed:
            self._install(self.lab.installed)
        shared = os.path.join(ids.CACHE, "capabilities")
        if os.path.isdir(shared):  # saves libvirt's first probing of every QEMU binary
            shutil.copytree(shared, self.path("cache/qemu/capabilities"), dirs_exist_ok=True)

    def _install(self, stage):
        """Puts here what `meson install --destdir STAGE` has put there; /etc is /etc for any prefix."""
        local = "/usr/local/etc"
        for top in ("/usr", "/etc"):
            if os.path.isdir(stage + top):
                proc.run(["cp", "-a", stage + top + "/.", self.inside(top)])
        if os.path.isdir(stage + local):
            proc.run(["cp", "-a", stage + local + "/.", self.inside("/etc")])
            shutil.rmtree(self.inside(local + "/postcopyd"), ignore_errors=True)
            os.symlink("/etc/postcopyd", self.inside(local + "/postcopyd"))

    def start_bus(self):
        self.spawn("dbus", ["dbus-daemon", "--nofork", "--nopidfile",
                            "--config-file=/etc/postcopyd/bus.conf"])

    def restart_bus(self):
        """Everybody on it is cut off."""
        pid = self._pid("dbus")
        proc.kill(pid)
        if not proc.wait_gone(pid, 5):
            raise LabError(f"the bus of {self.name} did not end")
        self.start_bus()

    def start_daemons(self):
        self.start_bus()
        self.spawn("virtlogd", ["virtlogd"])
        self.start_libvirtd(wait=False)

    def start_libvirtd(self, wait=True):
        self.spawn("libvirtd", ["libvirtd", "-l"])
        if wait:
            self.wait_libvirtd()

    def wait_libvirtd(self, timeout=60):
        def answers():
            if self.libvirtd_pid is None:
                raise LabError(f"libvirtd of {self.name} ended: {self.read('libvirtd.out')[-800:]}")
            return os.path.exists(self.inside(LIBVIRT_SOCKET)) and \
                self.virsh("version", check=False, timeout=timeout)
        wait_for(answers, timeout, f"libvirtd on {self.name}")

    def share_capabilities(self):
        mine = self.path("cache/qemu/capabilities")
        shared = os.path.join(ids.CACHE, "capabilities")
        if not os.path.isdir(mine):
            return
        os.makedirs(shared, exist_ok=True)
        for name in os.listdir(mine):
            temporary = os.path.join(shared, f".{name}.{os.getpid()}")
            shutil.copy(os.path.join(mine, name), temporary)
            os.rename(temporary, os.path.join(shared, name))

    def stop_libvirtd(self, number=signal.SIGTERM, grace=3):
        """Ends libvirtd; domains stay. Returns when it is gone.

        After `grace` seconds SIGKILL follows: libvirtd 9.0 on the destination of a postcopy
        migration did not end of SIGTERM within 20 s. (systemd would wait for 90.)
        """
        pid = self.libvirtd_pid
        if pid is None:
            return
        proc.kill(pid, number)
        if not proc.wait_gone(pid, grace):
            proc.kill(pid)
            proc.wait_gone(pid, 5)
        self._remember("libvirtd", None)
        self.lab.note("libvirtd-stop", host=self.name, signal=int(number))

    def restart_libvirtd(self, number=signal.SIGTERM):
        """Stops and starts libvirtd; returns (CLOCK_MONOTONIC) when it answers again."""
        self.stop_libvirtd(number)
        self.start_libvirtd()
        self.lab.note("libvirtd-back", host=self.name)
        return time.monotonic()

    # Files

    def path(self, *parts):
        """A path in this host's part of the state directory, as seen from outside."""
        return os.path.join(self.dir, *parts)

    def inside(self, path):
        """This host's absolute `path`, as seen from outside."""
        return f"/proc/{self.anchor}/root{path}"

    def write(self, path, text):
        target = self.inside(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w") as f:
            f.write(text)

    def read(self, name):
        try:
            with open(self.path(name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # Processes

    def wrap(self, argv):
        """`argv` as a command line that runs inside this host's namespaces."""
        return ["nsenter", "-t", str(self.anchor), "-n", "-m", "-u", "--", *map(str, argv)]

    def run(self, *argv, **options):
        """Runs a command here to its end; see proc.run()."""
        return proc.run(self.wrap(argv), **options)

    def popen(self, argv, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.wrap(argv), start_new_session=True, **options)

    def spawn(self, key, argv, env=None):
        """Starts a daemon here; its pid is kept under `key`, its output goes to KEY.out."""
        with open(self.path(f"{key}.out"), "a") as log:
            child = self.popen(argv, stdout=log, stderr=log,
                               env={**os.environ, **(env or {})})
        self._remember(key, child.pid)  # nsenter and dbus-daemon exec: the pid stays
        return child

    @property
    def libvirtd_pid(self):
        return self._pid("libvirtd")

    # libvirt

    def virsh(self, *args, timeout=20, check=True):
        return self.run("virsh", "-q", "-c", "qemu:///system", *args, timeout=timeout, check=check)

    def domstate(self, domain):
        """(state, reason) as `virsh domstate --reason` words them; None without such a domain."""
        done = self.virsh("domstate", "--reason", domain, check=False)
        if not done:
            return None
        state, _, reason = done.out.strip().partition(" (")
        return state, reason.rstrip(")")

    def qmp_by_libvirt(self, domain, command, timeout=20):
        """A QMP command through libvirt. Not on a destination in postcopy: it would wait 30 s."""
        text = json.dumps(command if isinstance(command, dict) else {"execute": command})
        done = self.virsh("qemu-monitor-command", domain, text, timeout=timeout)
        answer = json.loads(done.out)
        if "error" in answer:
            raise LabError(f"{domain}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def migration_status(self, domain):
        """query-migrate's status word; '' before any migration. Safe on a source only."""
        return self.qmp_by_libvirt(domain, "query-migrate").get("status", "")

    def qemu_pid(self, domain):
        """The pid of a domain's QEMU here, found without asking libvirt; None if there is none."""
        for pid in self.pids():
            argv = proc.command_line(pid)
            if argv and os.path.basename(argv[0]).startswith("qemu-system") and "-name" in argv:
                if argv[argv.index("-name") + 1].split(",")[0] == f"guest={domain}":
                    return pid
        return None

    def pids(self):
        return proc.pids_in_namespace("net", self.state["netns_inode"])

    def sockets(self, pid):
        """(local, peer) "address:port" pairs of a process's established TCP connections."""
        found = []
        for line in self.run("ss", "-Htnp", "state", "established").out.splitlines():
            fields = line.split()
            if f"pid={pid}," in line:
                found.append((fields[2], fields[3]))
        return found

    def migration_socket(self, domain):
        """The migration connection of a domain's QEMU here, as (local, peer), or None.

        libvirt picks the destination's port from 49152–49215 (qemu.conf, migration_port_min);
        QEMU's other sockets in this lab use other ports.
        """
        pid = self.qemu_pid(domain)
        for pair in self.sockets(pid) if pid else []:
            end = pair[1] if self.name == "src" else pair[0]
            if 49152 <= int(end.rsplit(":", 1)[1]) <= 49215:
                return pair
        return None

    def record(self, what="lifecycle"):
        """Starts recording: "lifecycle" means all of libvirt's events, "monitor" QEMU's."""
        recorder = Recorder(self, what)
        self._recorders.append(recorder)
        return recorder

    def stop_recorders(self):
        while self._recorders:
            self._recorders.pop().stop()

    # postcopyd

    @staticmethod
    def build_path(name):
        """A binary of the build tree that PCD_BUILD names."""
        top = os.environ.get("PCD_BUILD")
        if not top:
            raise LabError("PCD_BUILD must name the meson build directory")
        for root, folders, files in os.walk(top):
            if root == top and "installed" in folders:
                folders.remove("installed")  # by `./demo --stay`; libvirt's hook is called postcopyd there
            path = os.path.join(root, name)
            if name in files and os.access(path, os.X_OK):
                return path
        raise LabError(f"PCD_BUILD={top}: there is no {name}; run ninja first")

    def start_postcopyd(self, extra_args=(), env=None, wait=10):
        """Starts postcopyd and returns (CLOCK_MONOTONIC) when it is on the bus. With wait=0 it
        returns at once. Its output is in postcopyd_log."""
        child = self.spawn("postcopyd", [*self.confinement, self.build_path("postcopyd"), "--bus", BUS, "--connect",
                                         "qemu:///system", "--policy-dir", POLICIES, "--state-dir",
                                         "/var/lib/postcopyd", *extra_args], env)
        self.lab.note("postcopyd-start", host=self.name)

        def on_bus():
            if child.poll() is not None:
                raise LabError(f"postcopyd on {self.name} ended, exit {child.returncode}: "
                               f"{self.postcopyd_log[-800:].strip()}")
            return self.bus_has("org.postcopyd")
        if wait:
            wait_for(on_bus, wait, f"org.postcopyd on the bus of {self.name}")
        return time.monotonic()

    def bus_has(self, name):
        """Whether somebody owns that name on this host's bus."""
        done = self.run("dbus-send", f"--bus={BUS}", "--print-reply=literal",
                        "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus.NameHasOwner", f"string:{name}", check=False)
        return done.out.split() == ["boolean", "true"]

    @property
    def postcopyd_pid(self):
        return self._pid("postcopyd")

    def stop_postcopyd(self, timeout=5):
        """SIGTERM; raises if it is still there after `timeout`."""
        return self._end_postcopyd(signal.SIGTERM, timeout)

    def kill_postcopyd(self):
        return self._end_postcopyd(signal.SIGKILL, 5)

    def _end_postcopyd(self, number, timeout):
        pid = self.postcopyd_pid
        if pid is None:
            return
        proc.kill(pid, number)
        if not proc.wait_gone(pid, timeout):
            proc.kill(pid)
            raise LabError(f"postcopyd on {self.name} did not end within {timeout:g} s of signal "
                           f"{int(number)}")
        self._remember("postcopyd", None)

    @property
    def postcopyd_log(self):
        return self.read("postcopyd.out")

    def ctl(self, *args, timeout=10):
        """postcopyctl here; a Result whose rc is not checked."""
        return self.run(self.build_path("postcopyctl"), "--bus", BUS, *args, timeout=timeout,
                        check=False)
