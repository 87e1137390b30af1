// Feeds hdf5_sink or telemetry_collector without end and notes in a shared file which payloads were settled, until
// somebody kills it.
//
//     hdf5_endless FILE NOTES KIND ELEMENTS [NAME=VALUE]...
//
// KIND is "numbers" (payload i has ELEMENTS times the number i, or for layout "append" i % ELEMENTS + 1 times) or
// "text" (the number, ELEMENTS times) or "telemetry" (a message to telemetry_collector with ELEMENTS values of the
// times from i * ELEMENTS on, or of a GPU; see below). Byte i of NOTES becomes 1 when payload i is settled.
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "operators/telemetry/message.hpp"
#include "support/fake_runtime.hpp"

namespace {

using namespace penstock;

std::atomic<long> writes_left{-1};

constexpr std::size_t most_payloads = 1U << 22U;
constexpr std::size_t arena_bytes = 64U << 20U;

ParamValue value_of(const std::string& text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size()) return ParamValue{number};
    return ParamValue{text};
}

char* map_notes(const char* path) {
    const int file = open(path, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, most_payloads) != 0) return nullptr;
    void* notes = mmap(nullptr, most_payloads, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return notes == MAP_FAILED ? nullptr : static_cast<char*>(notes);
}

/// Every fourth message is about a GPU, of which there are more and more, or something new of an old one. Value t is t,
/// of metric t % 3 and of GPU t % (number of GPUs), with a label for each 10 values.
Payload make_message(test::FakeOutput& out, std::size_t elements, std::size_t i) {
    const bool is_gpu = i % 4 == 0;
    const std::size_t gpus = i / 8 + 1;
    std::string lines;
    if (is_gpu) {
        const std::string gpu = std::to_string(i % 8 == 0 ? gpus - 1 : gpus / 2);
        telemetry::append_gpu(lines,
                              {.uuid = "GPU-" + gpu, .hostname = "host-" + gpu, .pod = "pod-" + std::to_string(i)});
    }
    for (std::size_t t = i * elements; !is_gpu && t < (i + 1) * elements; ++t) {
        const std::string gpu = "GPU-" + std::to_string(t % gpus);
        const std::string metric = "M" + std::to_string(t % 3);
        const std::string value = std::to_string(t);
        const std::string labels = "l" + std::to_string(t / 10);
        telemetry::append_sample(lines, {gpu, metric, value, static_cast<std::int64_t>(t), labels});
        lines += '\n';
    }
    auto draft = out.draft<char>(lines.size());
    std::copy(lines.begin(), lines.end(), draft.begin());
    draft.set("topic", is_gpu ? telemetry::gpu_topic : telemetry::sample_topic);
    return out.sealed(std::move(draft));
}

Payload make_payload(test::FakeOutput& out, const std::string& kind, std::size_t elements, bool ragged, std::size_t i) {
    if (kind == "telemetry") return make_message(out, elements, i);
    if (kind == "text") {
        std::string text;
        for (std::size_t k = 0; k < elements; ++k) text += std::to_string(i) + ";";
        return out.text(text);
    }
    const std::size_t count = ragged ? i % elements + 1 : elements;
    return out.vector(std::vector<double>(count, static_cast<double>(i)));
}

int run(int argc, char** argv) {
    char* const notes = map_notes(argv[2]);
    if (notes == nullptr) return EXIT_FAILURE;
    const std::string kind = argv[3];
    const std::size_t elements = std::stoul(argv[4]);
    Params given = test::params({{"output", ParamValue{std::string{argv[1]}}}});
    for (int i = 5; i < argc; ++i) {
        const std::string setting = argv[i];
        const auto equals = setting.find('=');
        given.set(setting.substr(0, equals), value_of(setting.substr(equals + 1)));
    }
    const bool ragged = given.get_or<std::string>("layout", "stack") == "append";

    test::FakeContext context;
    test::FakeOutput out{arena_bytes};
    out.on_settled = [&](PayloadId id) { reinterpret_cast<std::atomic<char>*>(notes)[id.sequence] = 1; };
    const auto sink =
        test::make_builtin<Sink>(kind == "telemetry" ? "telemetry_collector" : "hdf5_sink", given, context);
    for (std::size_t i = 0; i < most_payloads; ++i) {
        while (out.used_bytes() > arena_bytes / 2) std::this_thread::yield();
        sink->consume(make_payload(out, kind, elements, ragged, i));
    }
    std::cerr << "nobody killed it\n";
    return EXIT_FAILURE;
}

}  // namespace

/// In place of the C library's.
extern "C" ssize_t pwrite(int file, const void* bytes, size_t size, off_t offset) {
    if (writes_left > 0 && --writes_left == 0) raise(SIGKILL);
    return syscall(SYS_pwrite64, file, bytes, size, offset);
}

int main(int argc, char** argv) {
    if (argc < 5) return EXIT_FAILURE;
    if (const char* number = std::getenv("KILL_AT_WRITE")) writes_left = std::atol(number);
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
