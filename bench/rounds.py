"""What the comparisons with others share: running programs in rounds on a machine that others use too."""
import json
import os
import resource
import signal
import statistics
import subprocess

import compare

TIE = 1.4  # smaller differences say nothing on a shared machine


class Strangers:
    """What other programs used of the CPUs while ours were measured: 0 to 1, one value per measurement."""

    def __init__(self, servers=()):
        """`servers`: process ids of those that are part of what is measured and stay."""
        self.shares, self.servers = [], servers
        self.mark()

    def mark(self):
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(text) for text in file.readline().split()[1:9]]
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        # user, nice, system, idle, iowait, irq, softirq, steal
        self.all_s = sum(ticks) / os.sysconf("SC_CLK_TCK")
        self.busy_s = self.all_s - (ticks[3] + ticks[4]) / os.sysconf("SC_CLK_TCK")
        self.own_s = own.ru_utime + own.ru_stime + sum(self.cpu_seconds(server) for server in self.servers)

    @staticmethod
    def cpu_seconds(process_id):
        try:
            with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as file:
                user, system = file.read().rpartition(")")[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    def note(self):
        all_s, busy_s, own_s = self.all_s, self.busy_s, self.own_s
        self.mark()
        if self.all_s > all_s:
            share = ((self.busy_s - busy_s) - (self.own_s - own_s)) / (self.all_s - all_s)
            self.shares.append(min(1.0, max(0.0, share)))

    def report(self):
        worst = sorted(self.shares)[int(len(self.shares) * 0.9)] if self.shares else 0.0
        mean = statistics.mean(self.shares or [0])
        print(f"\nOther programs, interrupts and the hypervisor took {mean:.0%} of the CPUs, "
              f"in one of ten measurements more than {worst:.0%}.")
        if worst > 0.1:
            print("That is too much for figures: run again on a quiet machine.")


def end_group(leader):
    """What is left of a program that has ended, when it did not end its own processes."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def output_of(command, timeout_s):
    """What the program printed, and why it failed. An interrupt ends the program in good order."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                               start_new_session=True)
    try:
        out, errors = process.communicate(timeout=timeout_s)
    except BaseException as cause:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            end_group(process.pid)
            process.communicate()
        if isinstance(cause, subprocess.TimeoutExpired):
            return "", f"did not end within {timeout_s:.0f} s"
        raise
    finally:
        end_group(process.pid)
    if process.returncode != 0:
        lines = [line for line in errors.splitlines() if line.strip()]
        return "", lines[-1] if lines else f"exit code {process.returncode}"
    return out, None


def run(command, timeout_s):
    """The rows that the program printed, and why there are none."""
    out, reason = output_of(command, timeout_s)
    if reason:
        return [], reason
    rows = []
    for line in out.splitlines():
        if line.startswith("{"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                return [], f"printed something else than a row: {line[:80]}"
    return rows, None if rows else "printed no row"


def ratio(value, reference, unit):
    """Above 1, `value` is better than `reference`."""
    if not value or not reference:
        return None
    return reference / value if compare.is_lower_better(unit) else value / reference


def verdict(ours, theirs, unit):
    advantage = ratio(ours, theirs, unit)
    if advantage is None:
        return "-"
    if 1 / TIE < advantage < TIE:
        return f"tie ({advantage:.2f})"
    return f"{advantage:.1f}x ahead" if advantage > 1 else f"{1 / advantage:.1f}x behind"
