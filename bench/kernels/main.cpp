#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <random>

#include "base/morsel_pool.hpp"
#include "kernels/accumulate.hpp"
#include "kernels/affine.hpp"
#include "kernels/crc32c.hpp"
#include "kernels/downsample.hpp"
#include "kernels/histogram.hpp"
#include "kernels/resize_images.hpp"
#include "kernels/scale_by_table.hpp"
#include "kernels/square.hpp"
#include "kernels/statistics.hpp"
#include "kernels/threshold.hpp"
#include "limits/limits.hpp"
#include "limits/measure.hpp"

using namespace penstock;
using namespace penstock::bench;

namespace {

/// Elements that fit a buffer, aligned as the blobs of payloads are.
template <class T>
class Buffer {
public:
    explicit Buffer(std::size_t bytes)
        : count_{bytes / sizeof(T)}, data_{static_cast<T*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))} {
        std::mt19937_64 random{1};
        for (std::size_t i = 0; i < count_; ++i) data_.get()[i] = static_cast<T>(random() % 200);
    }
    [[nodiscard]] std::span<T> span() const { return {data_.get(), count_}; }
    [[nodiscard]] std::span<const T> view() const { return span(); }

private:
    struct Free {
        void operator()(T* data) const noexcept { std::free(data); }
    };
    std::size_t count_;
    std::unique_ptr<T, Free> data_;
};

/// What a kernel is held against: reading alone, or reading and writing as a copy does.
struct Limits {
    double read;
    double copy;
};

class Bench {
public:
    Bench(Report& report, std::size_t size_bytes, double seconds, Limits limits)
        : report_{report}, size_bytes_{size_bytes}, seconds_{seconds}, limits_{limits} {}

    /// GB/s of input.
    void run(const char* scenario, double limit, const std::function<void()>& kernel) {
        SteadyRate rate{seconds_};
        for (std::uint64_t count = 0; !rate.is_over(count); ++count) kernel();
        const double value = rate.per_second() * static_cast<double>(size_bytes_) / 1e9;
        report_.add({"kernels", scenario, size_bytes_, value, "GB/s", limit});
    }

    /// For elements of type T; `names` in the order of the kernels.
    template <class T>
    void elementwise(const std::string& type) {
        const Buffer<T> x{size_bytes_};
        const Buffer<Real<T>> y{size_bytes_ / sizeof(T) * sizeof(Real<T>)};
        const Buffer<T> same{size_bytes_};
        const Buffer<std::uint8_t> mask{size_bytes_ / sizeof(T)};
        const Buffer<Real<T>> table{65536 * sizeof(Real<T>)};
        const Buffer<double> sums{size_bytes_ / sizeof(T) * sizeof(double)};
        const auto name = [&](const char* kernel) { return kernel + (" " + type); };
        run(name("affine").c_str(), limits_.copy, [&] { affine(x.view(), y.span(), 2, 1); });
        run(name("square").c_str(), limits_.copy, [&] { square(x.view(), y.span()); });
        run(name("scale_by_table").c_str(), limits_.copy, [&] {
            scale_by_table(x.view(), y.span(), {table.view(), table.view()});
        });
        run(name("suppress_zeros").c_str(), limits_.copy, [&] { sink_ += suppress_zeros(x.view(), same.span(), 100); });
        run(name("mask_hits").c_str(), limits_.copy, [&] { sink_ += mask_hits(x.view(), mask.span(), 100); });
        run(name("accumulate").c_str(), limits_.copy, [&] { accumulate(x.view(), sums.span()); });
        run(name("count_hits").c_str(), limits_.read, [&] { sink_ += count_hits(x.view(), 100); });
        run(name("statistics").c_str(), limits_.read, [&] { sink_ += statistics(x.view()).count; });
        Histogram histogram{256, 0, 200};
        run(name("histogram").c_str(), limits_.read, [&] { histogram.add(x.view()); });
        downsample<T>(x, type);
    }

    template <class T>
    void downsample(const Buffer<T>& x, const std::string& type) {
        constexpr std::size_t width = 512;
        Reduction by{.dims = 2};
        by.extent = {x.view().size() / width, width};
        by.factor = {2, 2};
        const Buffer<Real<T>> y{by.reduced_elements() * sizeof(Real<T>)};
        const auto whole = x.view().first(by.elements());
        run(("downsample_mean " + type).c_str(), limits_.read, [&] { downsample_mean(whole, y.span(), by); });
    }

    void images() {
        constexpr std::size_t height = 256;
        constexpr std::size_t width = 341;
        constexpr std::size_t image = height * width * 3;
        const std::size_t count = std::max<std::size_t>(1, size_bytes_ / image);
        const Buffer<std::uint8_t> images{count * image};
        const Buffer<float> results{count * 224 * 224 * 3 * sizeof(float)};
        ImagePlan plan;
        plan.height = height;
        plan.width = width;
        plan.channels = 3;
        plan.rows = ImagePlan::axis(height, 256, 16, 224, true);
        plan.columns = ImagePlan::axis(width, 341, 58, 224, true);
        plan.factor = plan.offset = {1, 1, 1};
        run("resize_images u8", limits_.copy, [&] { resize_images(images.view(), results.span(), plan); });
    }

    void checksums() {
        const Buffer<std::uint8_t> bytes{size_bytes_};
        run("crc32c", limits_.read, [&] { sink_ += crc32c(std::as_bytes(bytes.view())); });
        run("crc32c by table", limits_.read, [&] { sink_ += crc32c_by_table(std::as_bytes(bytes.view())); });
    }

    [[nodiscard]] std::uint64_t sink() const noexcept { return sink_; }

private:
    Report& report_;
    std::size_t size_bytes_;
    double seconds_;
    Limits limits_;
    std::uint64_t sink_ = 0;
};

std::uint64_t measure(Report& report, std::size_t size, double seconds, const Placement& cpus, int threads) {
    const std::chrono::milliseconds duration{static_cast<int>(seconds * 1000)};
    const bool is_cold = size > (4U << 20U);
    const MemoryRun memory{.size_bytes = size, .is_cold = is_cold, .duration = duration, .cpu = cpus.producer};
    const Limits limits{.read = read_rate(memory), .copy = memcpy_rate(memory)};
    report.add({"limit", is_cold ? "memcpy, cold" : "memcpy, warm", size, limits.copy, "GB/s", {}});
    report.add({"limit", is_cold ? "sum, cold" : "sum, warm", size, limits.read, "GB/s", {}});
    MorselPool pool{{.threads = threads}};
    const ExecutorScope kernels{threads > 1 ? &pool : nullptr};
    Bench bench{report, size, seconds, limits};
    bench.elementwise<float>("f32");
    bench.elementwise<double>("f64");
    bench.elementwise<std::uint16_t>("u16");
    bench.images();
    bench.checksums();
    return bench.sink();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        Report report{take_option(argc, argv, "--json")};
        const double seconds = std::stod(take_option(argc, argv, "--seconds", "0.2"));
        const std::string size = take_option(argc, argv, "--size");
        const int threads = std::stoi(take_option(argc, argv, "--threads", "1"));
        const bool has_pinning = take_flag(argc, argv, "--pin") && threads == 1;
        if (argc > 1 || threads < 1 || !(seconds > 0) || seconds > 60) {
            std::fputs("usage: bench_kernels [--size BYTES] [--seconds S] [--threads N | --pin] [--json FILE]\n",
                       stderr);
            return 2;
        }
        const Placement cpus = has_pinning ? spread_cpus() : Placement{};
        if (cpus.producer) pin_to(*cpus.producer);
        std::uint64_t sink = 0;
        // The limits of each size are measured before the first kernel of that size; they fork, and
        // threads of kernels end with their size.
        if (size.empty()) {
            for (const std::size_t bytes : {std::size_t{1} << 20U, std::size_t{64} << 20U}) {
                sink += measure(report, bytes, seconds, cpus, threads);
            }
        } else {
            sink = measure(report, parse_size(size), seconds, cpus, threads);
        }
        if (sink == 1) std::puts("");  // the results are used
        report.finish();
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_kernels: %s\n", error.what());
        return 1;
    }
}
