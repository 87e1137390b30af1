"""A switch that holds frames back, loses some and lets others overtake them, where the kernel has nothing that does.

bad_switch.py LOSS DELAY_MS JITTER_MS SEED PORT...: runs until its standard input ends. A frame comes out between DELAY_MS
and DELAY_MS + JITTER_MS after it went in, so that frames change places.
"""

import heapq
import random
import select
import socket
import sys
import time

SOL_PACKET = 263
PACKET_VNET_HDR = 15  # the header of a frame whose checksum, or cutting into packets, is left to the device
VNET_HEADER_BYTES = 10
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
LONGEST_FRAME = 1 << 17


def open_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    port.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    port.bind((name, ETH_P_ALL))
    port.setblocking(False)
    return port


def run(loss, delay_s, jitter_s, seed, names):
    chance = random.Random(seed)
    ports = [open_port(name) for name in names]
    port_of = {}  # by hardware address
    waiting = []  # (when, what makes it unique: a number and the name of the port, port, frame)
    count = lost = 0
    print("ready", flush=True)
    while True:
        rest = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([sys.stdin, *ports], [], [], rest)
        if sys.stdin in readable:
            return count, lost
        for port in readable:
            try:
                frame, (_, _, kind, _, _) = port.recvfrom(LONGEST_FRAME)
            except OSError:  # its host is gone
                continue
            if kind == socket.PACKET_OUTGOING:
                continue
            count += 1
            to, sender = (frame[VNET_HEADER_BYTES + at:VNET_HEADER_BYTES + at + 6] for at in (0, 6))
            port_of[sender] = port
            if chance.random() < loss:
                lost += 1
                continue
            when = time.monotonic() + delay_s + chance.uniform(0, jitter_s)
            targets = [port_of[to]] if to in port_of else ports
            for target in targets:
                if target is not port:
                    heapq.heappush(waiting, (when, count, names[ports.index(target)], target, frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            *_, target, frame = heapq.heappop(waiting)
            try:
                target.send(frame)
            except OSError:  # its host is gone, or its queue is full: one more is lost
                lost += 1


if __name__ == "__main__":
    LOSS, DELAY_MS, JITTER_MS = map(float, sys.argv[1:4])
    COUNT, LOST = run(LOSS, DELAY_MS / 1000, JITTER_MS / 1000, int(sys.argv[4]), sys.argv[5:])
    print(COUNT, LOST, flush=True)
