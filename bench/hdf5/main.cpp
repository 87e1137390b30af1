// Throughput of hdf5_sink next to plain pwrite of the same bytes into the same folder, both with fdatasync at the end.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "limits/measure.hpp"
#include "support/fake_runtime.hpp"

namespace {

using namespace penstock;

struct Options {
    std::string folder;
    std::size_t total_bytes;
    int rounds;
};

/// The payloads of a round, as few as no cache holds; they are written again and again.
class Inputs {
public:
    explicit Inputs(std::size_t size_bytes) {
        const std::size_t count = std::max<std::size_t>((64U << 20U) / size_bytes, 4);
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<double> values(size_bytes / sizeof(double));
            for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<double>(i + k);
            payloads_.push_back(arena_.vector(values));
        }
    }
    [[nodiscard]] const Payload& operator[](std::size_t i) const { return payloads_[i % payloads_.size()]; }

private:
    test::FakeOutput arena_{256U << 20U};
    std::vector<Payload> payloads_;
};

double rate(std::size_t bytes, std::int64_t started_ns) {
    return static_cast<double>(bytes) / static_cast<double>(bench::now_ns() - started_ns);  // GB/s
}

void require(bool ok, const char* what) {
    if (!ok) throw std::runtime_error{what};
}

double write_raw(const Options& options, const Inputs& inputs, std::size_t size_bytes) {
    const std::string path = options.folder + "/raw";
    const std::int64_t started = bench::now_ns();
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(file >= 0, "cannot create a file");
    for (std::size_t done = 0, i = 0; done < options.total_bytes; done += size_bytes, ++i) {
        const auto bytes = inputs[i].bytes();
        std::size_t written = 0;
        while (written < bytes.size()) {
            const ssize_t count =
                pwrite(file, bytes.data() + written, bytes.size() - written, static_cast<off_t>(done + written));
            require(count > 0, "cannot write");
            written += static_cast<std::size_t>(count);
        }
    }
    require(fdatasync(file) == 0, "cannot store");
    close(file);
    const double found = rate(options.total_bytes, started);
    std::filesystem::remove(path);
    return found;
}

double write_hdf5(const Options& options, const Inputs& inputs, std::size_t size_bytes) {
    const std::string path = options.folder + "/results.h5";
    test::FakeContext context;
    const std::int64_t started = bench::now_ns();
    {
        const auto sink = test::make_builtin<Sink>("hdf5_sink", test::params({{"output", ParamValue{path}}}), context);
        for (std::size_t done = 0, i = 0; done < options.total_bytes; done += size_bytes, ++i) sink->consume(inputs[i]);
        sink->finish();
    }
    const double found = rate(options.total_bytes, started);
    std::filesystem::remove(path);
    return found;
}

void measure(const Options& options, std::size_t size_bytes, bench::Report& report) {
    const Inputs inputs{size_bytes};
    std::vector<double> raw;
    std::vector<double> hdf5;
    write_raw(options, inputs, size_bytes);  // the memory is touched for the first time
    for (int round = 0; round < options.rounds; ++round) {
        if (round % 2 == 0) raw.push_back(write_raw(options, inputs, size_bytes));
        hdf5.push_back(write_hdf5(options, inputs, size_bytes));
        if (round % 2 != 0) raw.push_back(write_raw(options, inputs, size_bytes));
    }
    std::printf("%s: pwrite %.2f to %.2f GB/s, hdf5_sink %.2f to %.2f GB/s in %d rounds\n",
                bench::format_size(size_bytes).c_str(), *std::min_element(raw.begin(), raw.end()),
                *std::max_element(raw.begin(), raw.end()), *std::min_element(hdf5.begin(), hdf5.end()),
                *std::max_element(hdf5.begin(), hdf5.end()), options.rounds);
    report.add({"hdf5", "hdf5_sink", size_bytes, bench::median(hdf5), "GB/s", bench::median(raw)});
}

int run(int argc, char** argv) {
    const std::string parent = bench::take_option(argc, argv, "--dir", std::filesystem::temp_directory_path().string());
    bench::Report report{bench::take_option(argc, argv, "--json")};
    Options options{.folder = {},
                    .total_bytes = bench::parse_size(bench::take_option(argc, argv, "--total", "256MiB")),
                    .rounds = std::stoi(bench::take_option(argc, argv, "--rounds", "7"))};
    const std::string size = bench::take_option(argc, argv, "--size");
    require(argc == 1 && options.rounds > 0,
            "usage: bench_hdf5 [--dir FOLDER] [--total 256MiB] [--rounds 7] [--size BYTES] [--json FILE]");

    std::string name = parent + "/penstock-bench-XXXXXX";
    require(mkdtemp(name.data()) != nullptr, "cannot make a folder in --dir");
    options.folder = name;
    try {
        std::vector<std::size_t> sizes{1U << 20U, 16U << 20U};
        if (!size.empty()) sizes = {bench::parse_size(size)};
        for (const std::size_t each : sizes) measure(options, each, report);
    } catch (...) {
        std::filesystem::remove_all(options.folder);
        throw;
    }
    std::filesystem::remove_all(options.folder);
    report.finish();
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_hdf5: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
