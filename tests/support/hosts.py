"""Several "hosts" on one machine: each has a network, a host name, processes, IPC and /dev/shm of its own.

Nothing is added to the machine's own namespaces. All of it goes with the last process in it, and those go when this
process does, however it ends.
"""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading

from penstock_runs import wait_until

NETWORK = "10.99.7"
TOOLS = ("ip", "nsenter", "unshare", "mount", "hostname")

# What Open MPI calls instead of ssh: HOST COMMAND...
AGENT = """#!/usr/bin/python3
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect({socket!r})
    asked = {{"host": sys.argv[1], "command": " ".join(sys.argv[2:]), "env": dict(os.environ)}}
    socket.send_fds(door, [json.dumps(asked).encode()], [0, 1, 2])
    sys.exit(int(door.recv(16) or b"1"))
"""


class Missing(Exception):
    """What is needed to make hosts is not here."""


class Host:
    """Processes that see nothing of the others'."""

    def __init__(self, name, flags, setup):
        self.name = name
        # It lives until its standard input ends: with this object, or with this process.
        self.holder = subprocess.Popen(["unshare", *flags, "--kill-child", "sh", "-c", f"{setup} && echo ready && exec cat"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.flags = [f"--{flag}" for flag in ("net", "uts", "ipc", "mount", "pid") if f"--{flag}" in flags]
        if self.holder.stdout.readline() != "ready\n":
            said = self.holder.communicate()[1].strip()
            raise Missing(f"no namespaces can be made here: {said}")
        self.pid = self.holder.pid
        if "--pid" in flags:  # the holder is a child of unshare
            children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children")
            self.pid = int(wait_until(children.read_text, f"host {name} has a process", 10).split()[0])

    def words(self, *command):
        """The command line that runs a command there."""
        return ["nsenter", "--target", str(self.pid), *self.flags, "--", *map(str, command)]

    def do(self, *command):
        subprocess.run(self.words(*command), check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def close(self):
        self.holder.stdin.close()
        try:
            self.holder.wait(10)
        except subprocess.TimeoutExpired:
            self.holder.kill()
            self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


class Hosts:
    """Hosts h1, h2, ... joined by a switch. @raises Missing, with the reason."""

    def __init__(self, count, folder):
        if os.geteuid() != 0:
            raise Missing("only root can make hosts of namespaces")
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise Missing(f"{', '.join(missing)}: not installed (Debian: iproute2, util-linux)")
        self.folder = pathlib.Path(folder)
        self.all = []
        self.dark = set()
        self.bad_switch = None
        self.closing = threading.Event()
        self.doors = None
        try:
            self.make(count)
        except subprocess.CalledProcessError as error:
            self.close()
            raise Missing(f"{shlex.join(error.cmd)}: {error.stderr.decode().strip()}") from None
        except BaseException:
            self.close()
            raise

    def make(self, count):
        names = self.folder / "hosts"
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{i} h{i}\n" for i in range(1, count + 1)))
        self.switch = Host("switch", ["--net"], "ip link add br0 type bridge && ip link set br0 up")
        self.all.append(self.switch)
        for number in range(1, count + 1):
            setup = ("mount --make-rprivate / && mount -t tmpfs tmpfs /dev/shm && "
                     f"mount --bind {shlex.quote(str(names))} /etc/hosts && hostname h{number} && ip link set lo up")
            host = Host(f"h{number}", ["--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc"], setup)
            self.all.append(host)
            self.switch.do("ip", "link", "add", f"p{number}", "type", "veth", "peer", "name", "eth0", "netns", host.pid)
            self.switch.do("ip", "link", "set", f"p{number}", "master", "br0", "up")
            host.do("ip", "address", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            host.do("ip", "link", "set", "eth0", "up")
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.format(socket=str(self.folder / "doors")))
        self.agent.chmod(0o700)
        self.doors = socket.socket(socket.AF_UNIX)
        self.doors.bind(str(self.folder / "doors"))
        self.doors.listen()
        self.keeper = threading.Thread(target=self.keep_doors, daemon=True)
        self.keeper.start()

    def keep_doors(self):
        """Lets agents in: no host can start a process on another one, as it does not see its processes."""
        while True:
            try:
                visitor, _ = self.doors.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self.serve, args=(visitor,), daemon=True).start()

    def serve(self, visitor):
        with visitor:
            text, files, _, _ = socket.recv_fds(visitor, 1 << 20, 3)
            asked = json.loads(text)
            host = next(each for each in self.all if each.name == asked["host"])
            try:
                done = subprocess.run(host.words("/bin/sh", "-c", asked["command"]), env=asked["env"], check=False,
                                      stdin=files[0], stdout=files[1], stderr=files[2])
            finally:
                for file in files:
                    os.close(file)
            if host in self.dark:
                self.closing.wait()
            with contextlib.suppress(OSError):  # it may not wait for the answer
                visitor.sendall(b"%d" % (done.returncode & 0xFF))

    def host_of(self, rank):
        """Where `mpiexec` puts a rank."""
        return self.all[1 + rank % (len(self.all) - 1)]

    def mpiexec(self, ranks, *options):
        """Starts that many ranks, in turn on each host. Needs Open MPI."""
        places = ",".join(f"{host.name}:{ranks}" for host in self.all[1:])
        return self.all[1].words("mpirun", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", self.agent,
                                 "--mca", "oob_tcp_if_include", "eth0", "--mca", "btl_tcp_if_include", "eth0",
                                 "--host", places, "--map-by", "node", "--bind-to", "none", *options, "-n", ranks)

    def cut(self, number):
        """Unplugs a host."""
        self.switch.do("ip", "link", "set", f"p{number}", "down")

    def restore(self, number):
        """Plugs it in again."""
        self.switch.do("ip", "link", "set", f"p{number}", "up")

    def part(self, one, other):
        """Two hosts reach each other no more, while both reach all others. Nobody is told."""
        for here, there in ((one, other), (other, one)):
            self.all[here].do("ip", "route", "add", "blackhole", f"{NETWORK}.{there}/32")

    def power_off(self, number):
        """No process of that host has time for a last word, and who started it from elsewhere hears of nothing."""
        self.dark.add(self.all[number])
        self.cut(number)
        os.kill(self.all[number].pid, signal.SIGKILL)

    def spoil(self, loss, delay_ms, jitter_ms, seed=1):
        """The switch loses that part of all frames and holds the others back, each for another time."""
        ports = [f"p{number}" for number in range(1, len(self.all))]
        for port in ports:
            self.switch.do("ip", "link", "set", port, "nomaster")
        script = pathlib.Path(__file__).with_name("bad_switch.py")
        self.bad_switch = subprocess.Popen(self.switch.words(sys.executable, script, loss, delay_ms, jitter_ms, seed, *ports),
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.bad_switch.stdout.readline() == "ready\n"

    def count_spoiled(self):
        """How many frames there were, and how many of them were lost. Nothing passes any more."""
        said, _ = self.bad_switch.communicate()
        self.bad_switch = None
        return tuple(map(int, said.split()))

    def close(self):
        self.closing.set()
        if self.bad_switch is not None:
            self.count_spoiled()
        for host in reversed(self.all):
            host.close()
        self.all = []
        if self.doors is not None:
            self.doors.shutdown(socket.SHUT_RDWR)
            self.doors.close()
            self.doors = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def hosts_for(test, count):
    """Hosts for as long as a test runs, which is skipped where none can be made."""
    try:
        hosts = Hosts(count, test.folder)
    except Missing as reason:
        test.skipTest(str(reason))
    test.addCleanup(hosts.close)
    return hosts
