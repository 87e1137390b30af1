"""The work of `penstock bench stream-scaling`, over what others do it with; bench/compare-stream-scaling calls this.

usage: stream_scaling.py METHOD --data-size-bytes N --max-workers N --task-count N --task-sleep S [--redis-port PORT]

This process dispatches, one generates, the other --max-workers - 1 take a task for each payload, all on loopback. Prints one
row of JSON.
"""
import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings

HOST, TOPIC = "127.0.0.1", "stream-benchmark-data"
GENERATED_PER_S = 100e6 / 0.25  # the original's: payloads that would take longer to make are made once
QUEUED_BYTES, QUEUED_AT_MOST = 16 << 20, 64
LONGEST_WAIT_S = 30  # for any single answer, beside the sleep of a task
WARM_UP = b"warm-up"


class Failed(Exception):
    """Why there is no figure."""


class Work:
    """What is to be done; the rules are those of `penstock bench stream-scaling`."""

    def __init__(self, size, workers, count, sleep_s):
        self.size, self.workers, self.count, self.sleep_s = size, workers - 1, count, sleep_s
        self.interval_s = sleep_s / self.workers

    @property
    def pregenerates(self):
        return self.size / GENERATED_PER_S > self.interval_s

    @property
    def window(self):
        """Payloads that may wait at a worker, the one it works on included."""
        return 1 if self.sleep_s > 0 else max(1, min(QUEUED_AT_MOST, QUEUED_BYTES // self.size))

    @property
    def longest_wait_ms(self):
        return int((LONGEST_WAIT_S + self.sleep_s) * 1000)


def make_payload(size):
    """Random, and no byte is zero: so that looking for one reads them all."""
    return os.urandom(size).replace(b"\0", b"\1")


def do_task(data, work):
    until = time.monotonic() + work.sleep_s
    if data == WARM_UP:
        return
    if len(data) != work.size or data.find(b"\0") != -1:
        raise Failed(f"a payload arrived damaged: {len(data)} of {work.size} bytes")
    if work.sleep_s > 0:
        time.sleep(max(0.0, until - time.monotonic()))


def generate(work, send, go, started_ns):
    """A payload each interval; who is late does not catch up."""
    ready_made = make_payload(work.size) if work.pregenerates else None
    send(WARM_UP)
    if not go.wait(LONGEST_WAIT_S):
        raise Failed("the warm-up did not end")
    started_ns.value = time.monotonic_ns()
    for number in range(work.count):
        following = time.monotonic() + work.interval_s
        send(ready_made if ready_made is not None else make_payload(work.size))
        if work.interval_s > 0 and number + 1 < work.count:
            time.sleep(max(0.0, following - time.monotonic()))
    # ZeroMQ loses what waits behind a full queue when its sender ends, and ProxyStore's store is the sender's.
    multiprocessing.parent_process().join()


# --- Redis pub/sub and ProxyStore: the dispatcher hands what it gets to a pool of processes, as the original does ---


def redis_client(port):
    import redis

    return redis.Redis(HOST, port, socket_timeout=LONGEST_WAIT_S + 60)


def published(port):
    """Messages of the topic. Whoever publishes after this was called is heard."""
    subscription = redis_client(port).pubsub()
    subscription.subscribe(TOPIC)
    answer = subscription.get_message(timeout=LONGEST_WAIT_S)
    if answer is None or answer["type"] != "subscribe":
        raise Failed("redis did not confirm the subscription")

    def messages():
        while True:
            message = subscription.get_message(timeout=LONGEST_WAIT_S)
            if message is None:
                raise Failed(f"nothing came by pub/sub for {LONGEST_WAIT_S} s")
            if message["type"] == "message":
                yield message["data"]

    return messages()


def generate_published(work, port, go, started_ns):
    client = redis_client(port)
    generate(work, lambda data: client.publish(TOPIC, data), go, started_ns)


def proxies(port):
    warnings.simplefilter("ignore")  # ProxyStore says that its streams are experimental
    from proxystore.stream import StreamConsumer
    from proxystore.stream.shims.redis import RedisSubscriber

    consumer = StreamConsumer(RedisSubscriber(HOST, port, TOPIC))
    watcher, give_up = redis_client(port), time.monotonic() + LONGEST_WAIT_S
    while dict(watcher.pubsub_numsub(TOPIC)).get(TOPIC.encode()) != 1:
        if time.monotonic() > give_up:
            raise Failed("redis did not take the subscription")
        time.sleep(0.01)
    return consumer


def generate_proxies(work, port, go, started_ns):
    warnings.simplefilter("ignore")
    from proxystore.connectors.redis import RedisConnector
    from proxystore.store import Store
    from proxystore.stream import StreamProducer
    from proxystore.stream.shims.redis import RedisPublisher

    with Store("generator", RedisConnector(HOST, port), register=True) as store:
        producer = StreamProducer(RedisPublisher(HOST, port), default_store=store)
        generate(work, lambda data: producer.send(TOPIC, data), go, started_ns)


def do_proxied_task(proxy, work):
    from proxystore.proxy import extract

    do_task(extract(proxy), work)


def run_pool(work, items, task, go, watch):
    """The oldest task is waited for while the workers have all they may: the original's rule, with our windows."""
    from concurrent.futures import ProcessPoolExecutor

    context, longest_s = multiprocessing.get_context("fork"), work.longest_wait_ms / 1000
    with ProcessPoolExecutor(work.workers, mp_context=context) as pool:
        running, items = collections.deque(), iter(items)
        pool.submit(task, next(items), work).result(longest_s)
        go.set()
        for _ in range(work.count):
            running.append(pool.submit(task, next(items), work))
            if len(running) >= work.workers * work.window:
                running.popleft().result(longest_s)
        while running:
            running.popleft().result(longest_s)
        ended_ns = time.monotonic_ns()
        watch()
    return ended_ns


# --- ZeroMQ ---


def zmq_socket(kind, work, address=None, high_water=None):
    import zmq

    socket = zmq.Context.instance().socket(getattr(zmq, kind))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDTIMEO, work.longest_wait_ms)
    socket.setsockopt(zmq.RCVTIMEO, work.longest_wait_ms)
    if high_water:
        socket.set_hwm(high_water)
    if address:
        socket.connect(address)
    return socket


class InPlace:
    """The payload itself goes over ZeroMQ."""

    def __init__(self, _):
        pass

    def put(self, data):
        return data

    def get(self, message):
        return message


class InRedis:
    """Xstream's scheme: the payload goes into Redis, its id over ZeroMQ."""

    def __init__(self, port):
        self.client, self.next_id = redis_client(port), 0

    def put(self, data):
        if data == WARM_UP:
            return data
        key = b"blob-%d" % self.next_id
        self.next_id += 1
        self.client.set(key, data)
        return key

    def get(self, message):
        if message == WARM_UP:
            return message
        data = self.client.getdel(message)
        if data is None:
            raise Failed(f"{message.decode()} is not in redis")
        return data


def generate_messages(work, store, port, address, go, started_ns):
    # A message that is sent waits in the queues of both ends.
    socket, store = zmq_socket("PUSH", work, address, max(1, work.window // 2)), store(port)
    generate(work, lambda data: socket.send(store.put(data), copy=False), go, started_ns)


def work_for_dispatcher(work, store, port, address):
    """Asks for as many payloads as it may have, and for one more when one is done."""
    socket, store = zmq_socket("DEALER", work, address), store(port)
    for _ in range(work.window):
        socket.send(b"free")
    while True:
        do_task(store.get(socket.recv()), work)
        socket.send(b"done")


def work_for_generator(work, store, port, address, answers):
    """Takes what PUSH gives it, and tells the dispatcher when one is done."""
    outbox = zmq_socket("PUSH", work, answers)
    inbox, store = zmq_socket("PULL", work, None, max(1, work.window // 2)), store(port)
    inbox.connect(address)
    outbox.send(b"ready")
    while True:
        do_task(store.get(inbox.recv()), work)
        outbox.send(b"done")


def next_events(poller, work, watch):
    """The sockets with something to read. Looks after the processes while there is nothing."""
    give_up = time.monotonic() + work.longest_wait_ms / 1000
    while True:
        events = dict(poller.poll(500))
        if events:
            return events
        watch()
        if time.monotonic() > give_up:
            raise Failed(f"no answer for {work.longest_wait_ms / 1000:.0f} s")


def dispatch_messages(work, inbox, router, go, watch):
    """What the generator sends goes to whoever asked first; the rest waits at the generator."""
    import zmq

    free, done = collections.deque(), -1  # the warm-up does not count
    while done < work.count:
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        if free:
            poller.register(inbox, zmq.POLLIN)
        events = next_events(poller, work, watch)
        if router in events:
            worker, word = router.recv_multipart()
            free.append(worker)
            if word == b"done":
                done += 1
                if done == 0:
                    go.set()
        if inbox in events and free:
            router.send_multipart([free.popleft(), inbox.recv(copy=False)], copy=False)
    return time.monotonic_ns()


def count_answers(work, inbox, go, watch):
    import zmq

    poller = zmq.Poller()
    poller.register(inbox, zmq.POLLIN)
    done = -1
    while done < work.count:
        next_events(poller, work, watch)
        if inbox.recv() == b"done":
            done += 1
            if done == 0:
                go.set()
    return time.monotonic_ns()


# --- the processes ---


class Processes:
    """Those of a run. Ends them all with it."""

    def __init__(self):
        self.context = multiprocessing.get_context("spawn")
        self.running = []

    def start(self, target, *arguments):
        process = self.context.Process(target=target, args=arguments, daemon=True)
        process.start()
        self.running.append(process)

    def watch(self):
        for process in self.running:
            if process.exitcode not in (None, 0):
                raise Failed(f"a process of the run ended with exit code {process.exitcode}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.join()


def run_redis_pubsub(work, port, processes, go, started_ns):
    items = published(port)
    processes.start(generate_published, work, port, go, started_ns)
    return run_pool(work, items, do_task, go, processes.watch)


def run_proxystore(work, port, processes, go, started_ns):
    items = proxies(port)
    processes.start(generate_proxies, work, port, go, started_ns)
    return run_pool(work, items, do_proxied_task, go, processes.watch)


def run_dispatched(store, work, port, processes, go, started_ns):
    with tempfile.TemporaryDirectory(prefix="penstock-peer-") as folder:
        sources, tasks = f"ipc://{folder}/sources", f"ipc://{folder}/tasks"
        inbox, router = zmq_socket("PULL", work, None, max(1, work.window // 2)), zmq_socket("ROUTER", work)
        inbox.bind(sources)
        router.bind(tasks)
        for _ in range(work.workers):
            processes.start(work_for_dispatcher, work, store, port, tasks)
        processes.start(generate_messages, work, store, port, sources, go, started_ns)
        return dispatch_messages(work, inbox, router, go, processes.watch)


def run_zeromq(*arguments):
    return run_dispatched(InPlace, *arguments)


def run_xstream(*arguments):
    return run_dispatched(InRedis, *arguments)


def bind_and_generate(work, port, address, go, started_ns):
    socket = zmq_socket("PUSH", work, None, max(1, work.window // 2))
    socket.bind(address)
    generate(work, lambda data: socket.send(data, copy=False), go, started_ns)


def run_zeromq_direct(work, port, processes, go, started_ns):
    with tempfile.TemporaryDirectory(prefix="penstock-peer-") as folder:
        tasks, answers = f"ipc://{folder}/tasks", f"ipc://{folder}/answers"
        inbox = zmq_socket("PULL", work)
        inbox.bind(answers)
        for _ in range(work.workers):
            processes.start(work_for_generator, work, InPlace, port, tasks, answers)
        processes.start(bind_and_generate, work, port, tasks, go, started_ns)
        return count_answers(work, inbox, go, processes.watch)


METHODS = {"redis-pubsub": run_redis_pubsub, "proxystore": run_proxystore, "xstream": run_xstream, "zeromq": run_zeromq,
           "zeromq-direct": run_zeromq_direct}
NEEDS_REDIS = ("redis-pubsub", "proxystore", "xstream")


def run(method, work, port):
    """Tasks per second, from the generator's first payload to the end of the last task."""
    with Processes() as processes:
        go, started_ns = processes.context.Event(), processes.context.Value("Q", 0)
        ended_ns = METHODS[method](work, port, processes, go, started_ns)
        if started_ns.value == 0 or ended_ns <= started_ns.value:
            raise Failed("the clock did not run")
        return work.count / ((ended_ns - started_ns.value) / 1e9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--data-size-bytes", type=int, required=True)
    parser.add_argument("--max-workers", type=int, required=True)
    parser.add_argument("--task-count", type=int, required=True)
    parser.add_argument("--task-sleep", type=float, required=True)
    parser.add_argument("--redis-port", type=int)
    options = parser.parse_args()
    if min(options.data_size_bytes, options.task_count, options.max_workers - 1) < 1 or options.task_sleep < 0:
        parser.error("sizes and counts must be at least 1, and --max-workers 2: one worker generates")
    if options.method in NEEDS_REDIS and not options.redis_port:
        parser.error(f"{options.method} needs --redis-port")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the processes and the sockets go too
    work = Work(options.data_size_bytes, options.max_workers, options.task_count, options.task_sleep)
    with contextlib.ExitStack() as stack:
        if options.redis_port:
            client = redis_client(options.redis_port)
            client.flushall()
            stack.callback(client.flushall)
        rate = run(options.method, work, options.redis_port)
    print(json.dumps({"bench": options.method, "case": "stream-scaling", "size_bytes": work.size, "value": rate,
                      "unit": "tasks/s"}))


if __name__ == "__main__":
    try:
        main()
    except (Failed, TimeoutError, OSError, StopIteration, ImportError) as wrong:
        print(f"stream_scaling.py: {type(wrong).__name__}: {wrong}", file=sys.stderr)
        sys.exit(1)
