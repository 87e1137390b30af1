#!/usr/bin/env python3
"""Sets up on loopback what the peers of the stream-scaling benchmark need, and removes it.

usage: stream_scaling_setup.py up FOLDER | down FOLDER

Into FOLDER, which it makes: a virtual environment with the Python clients from PyPI, and a redis-server of its own (Debian:
redis-server) on a free port of 127.0.0.1, with nothing on disk. `down` ends the server and removes the folder. Without it,
bench/compare-stream-scaling does both itself; with --peers-dir FOLDER it uses what is there.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

PACKAGES = ["proxystore==1.1.0", "redis==8.1.0", "pyzmq==27.3.0"]
START_S, STOP_S = 10, 10
STATE = "peers.json"


class Unusable(Exception):
    """What is missing, and the remedy."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def redis_command(port, folder):
    # Without the limit after which Redis drops a slow subscriber, as ProxyStore's authors ran it.
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder),
            "--maxmemory", "0", "--client-output-buffer-limit", "pubsub 0 0 0"]


def start_redis(folder):
    """The process id and the port of a server that answers."""
    if shutil.which("redis-server") is None:
        raise Unusable("redis-server is not installed; on Debian: apt-get install redis-server")
    port = free_port()
    with open(folder / "redis.log", "wb") as log:
        server = subprocess.Popen(redis_command(port, folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  start_new_session=True)
    give_up = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server.pid, port
        time.sleep(0.02)
    server.kill()
    server.wait()
    raise Unusable("redis-server did not start: " + (folder / "redis.log").read_text(errors="replace").strip()[-300:])


def install_clients(folder):
    for command in ([sys.executable, "-m", "venv", str(folder / "venv")],
                    [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Unusable(f"\"{' '.join(command[1:4])}\" failed: {result.stderr.strip()[-300:]}")


def up(folder):
    """Makes the folder; returns the Python with the clients and the server's port."""
    folder = pathlib.Path(folder).resolve()
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Unusable(f"\"{folder}\" is there already; remove it with: {sys.argv[0]} down {folder}") from None
    try:
        install_clients(folder)
        pid, port = start_redis(folder)
        state = {"python": str(folder / "venv" / "bin" / "python"), "redis_pid": pid, "redis_port": port}
        (folder / STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return state


def load(folder):
    try:
        state = json.loads((pathlib.Path(folder) / STATE).read_text(encoding="utf-8"))
        return {"python": str(state["python"]), "redis_pid": int(state["redis_pid"]), "redis_port": int(state["redis_port"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise Unusable(f"\"{folder}\" was not made by `up`: it has no usable {STATE}") from None


def is_our_server(pid, port):
    """Another program may have its process id by now. The server writes its address over its own arguments."""
    try:
        title = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"redis-server" in title and str(port).encode() in title


def is_gone(pid):
    """A server that this process has started stays a zombie until it is waited for."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not pathlib.Path(f"/proc/{pid}").exists()


def down(folder):
    state = load(folder)
    pid = state["redis_pid"]
    if is_our_server(pid, state["redis_port"]):
        os.kill(pid, signal.SIGTERM)
        give_up = time.monotonic() + STOP_S
        while not is_gone(pid):
            if time.monotonic() > give_up:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
    shutil.rmtree(folder)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if sys.argv[1] == "down":
            down(sys.argv[2])
        else:
            state = up(sys.argv[2])
            print(f"redis-server on 127.0.0.1:{state['redis_port']}, clients in {state['python']}")
    except Unusable as wrong:
        print(f"stream_scaling_setup.py: {wrong}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
