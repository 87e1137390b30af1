#include "operators/telemetry/generator.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "base/time_text.hpp"
#include "operators/row_file.hpp"

namespace penstock::telemetry {
namespace {

constexpr std::int64_t first_time_ns = 1'752'871'354'000'000'000;  // 2025-07-18T20:42:34Z
constexpr std::int64_t step_ns = 1'000'000'000;
constexpr std::size_t piece_bytes = 1U << 20U;

/// How the values of one metric wander: within a range, by at most a step at a time.
struct Walk {
    std::string_view name;
    double low;
    double high;
    double step;
    int decimals;
};
constexpr std::array<Walk, 10> walks{{{"DCGM_FI_DEV_GPU_UTIL", 0, 100, 7, 0},
                                      {"DCGM_FI_DEV_MEM_COPY_UTIL", 0, 100, 5, 0},
                                      {"DCGM_FI_DEV_ENC_UTIL", 0, 20, 1, 0},
                                      {"DCGM_FI_DEV_DEC_UTIL", 0, 20, 1, 0},
                                      {"DCGM_FI_DEV_FB_USED", 0, 81'559, 900, 0},
                                      {"DCGM_FI_DEV_FB_FREE", 0, 81'559, 900, 0},
                                      {"DCGM_FI_DEV_MEM_CLOCK", 1593, 2619, 200, 0},
                                      {"DCGM_FI_DEV_SM_CLOCK", 345, 1980, 120, 0},
                                      {"DCGM_FI_DEV_POWER_USAGE", 60, 700, 25, 3},
                                      {"DCGM_FI_DEV_GPU_TEMP", 25, 85, 2, 0}}};
constexpr auto names = [] {
    std::array<std::string_view, walks.size()> all{};
    for (std::size_t i = 0; i < walks.size(); ++i) all[i] = walks[i].name;
    return all;
}();

constexpr std::uint64_t gpus_per_host = 8;

/// The fields of a GPU's rows that do not change: those before the value and those after it.
struct GpuFields {
    std::string before;
    std::string after;
};

[[nodiscard]] GpuFields fields_of(std::uint64_t gpu, const GeneratedFile& file) {
    std::mt19937_64 random{file.seed * 1'000'003 + gpu};
    const std::uint64_t high = random();
    const std::uint64_t low = random();
    const std::string uuid = fmt::format("GPU-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32U, high >> 16U & 0xFFFFU,
                                         high & 0xFFFFU, low >> 48U, low & 0xFFFF'FFFF'FFFFU);
    const std::uint64_t index = gpu % gpus_per_host;
    const std::string host = fmt::format("mtv5-dgx1-hgpu-{:03}", gpu / gpus_per_host + 31);
    GpuFields fields;
    fields.before =
        fmt::format(R"("{0}","nvidia{0}","{1}","NVIDIA H100 80GB HBM3","{2}","","","",)", index, uuid, host);
    if (file.labels) {
        fields.after = fmt::format(
            R"("DCGM_FI_DRIVER_VERSION=""535.129.03"",Hostname=""{2}"",UUID=""{1}"",device=""nvidia{0}"",gpu=""{0}"",)"
            R"(instance=""{2}:9400"",job=""dgx_dcgm_exporter"",modelName=""NVIDIA H100 80GB HBM3"",)"
            R"(pci_bus_id=""00000000:{0}B:00.0""")",
            index, uuid, host);
    } else {
        fields.after = R"("")";
    }
    return fields;
}

}  // namespace

std::span<const std::string_view> metric_names() noexcept {
    return names;
}

std::uint64_t generate(const GeneratedFile& file) {
    const std::uint64_t metrics = std::min<std::uint64_t>(file.metrics, walks.size());
    std::vector<GpuFields> gpus;
    for (std::uint64_t gpu = 0; gpu < file.gpus; ++gpu) gpus.push_back(fields_of(gpu, file));
    std::mt19937_64 random{file.seed};
    std::vector<double> values;
    for (std::uint64_t metric = 0; metric < metrics; ++metric) {
        values.insert(values.end(), gpus.size(), (walks[metric].low + walks[metric].high) / 2);
    }

    RowFile out{file.path};
    std::string piece =
        "\"timestamp\",\"metric_name\",\"gpu_id\",\"device\",\"uuid\",\"modelName\",\"Hostname\",\"container\","
        "\"pod\",\"namespace\",\"value\",\"labels_raw\"\n";
    std::vector<iovec> parts;
    const auto write = [&] {
        parts = {{piece.data(), piece.size()}};
        out.append(parts);
        piece.clear();
    };
    for (std::uint64_t time = 0; time < file.times; ++time) {
        const std::string stamp = time_text(first_time_ns + static_cast<std::int64_t>(time) * step_ns);
        for (std::uint64_t metric = 0; metric < metrics; ++metric) {
            const Walk& walk = walks[metric];
            for (std::uint64_t gpu = 0; gpu < gpus.size(); ++gpu) {
                double& value = values[metric * gpus.size() + gpu];
                const double turn = static_cast<double>(random() >> 11U) * 0x1p-52 - 1;  // from -1 to 1
                value = std::clamp(value + turn * walk.step, walk.low, walk.high);
                fmt::format_to(std::back_inserter(piece), "\"{}\",\"{}\",{}\"{:.{}f}\",{}\n", stamp, walk.name,
                               gpus[gpu].before, value, walk.decimals, gpus[gpu].after);
                if (piece.size() >= piece_bytes) write();
            }
        }
    }
    write();
    out.close();
    return file.times * metrics * gpus.size();
}

}  // namespace penstock::telemetry
