#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <unordered_map>

#include <fmt/format.h>
#include <hdf5.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "base/unique_handle.hpp"
#include "operators/telemetry/series.hpp"
#include "operators/telemetry/store.hpp"

namespace penstock::telemetry {
namespace {

struct IdTraits {
    using Handle = hid_t;
    static Handle null() noexcept { return H5I_INVALID_HID; }
    static void release(Handle handle) noexcept { H5Idec_ref(handle); }
};
using Id = UniqueHandle<IdTraits>;

constexpr hsize_t rows_per_chunk = 2048;
constexpr hsize_t texts_per_chunk = 64;

/// A value as it stands in the file.
struct Row {
    std::int64_t time_ns;
    double value;
    std::uint32_t gpu;
    std::uint32_t labels;
};
static_assert(sizeof(Row) == 24);

constexpr std::size_t gpu_fields = 8;
constexpr std::array<const char*, gpu_fields> gpu_field_names{"uuid",     "device_id", "gpu_index", "model_name",
                                                              "hostname", "container", "pod",       "namespace"};
using GpuRow = std::array<const char*, gpu_fields>;

[[nodiscard]] GpuRow row_of(const Gpu& gpu) noexcept {
    return {gpu.uuid.c_str(),     gpu.device_id.c_str(), gpu.gpu_index.c_str(), gpu.model_name.c_str(),
            gpu.hostname.c_str(), gpu.container.c_str(), gpu.pod.c_str(),       gpu.kubernetes_namespace.c_str()};
}

[[nodiscard]] Gpu gpu_of(const GpuRow& row) {
    const auto text = [](const char* field) { return std::string{field == nullptr ? "" : field}; };
    return {text(row[0]), text(row[1]), text(row[2]), text(row[3]),
            text(row[4]), text(row[5]), text(row[6]), text(row[7])};
}

/// What the library's error stack says, innermost first.
[[nodiscard]] std::string library_says() {
    std::string text;
    const auto add = [](unsigned, const H5E_error2_t* error, void* into) -> herr_t {
        auto& said = *static_cast<std::string*>(into);
        if (error->desc != nullptr && said.size() < 300) said += (said.empty() ? "" : "; ") + std::string{error->desc};
        return 0;
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, add, &text);
    return text;
}

[[noreturn]] void fail(const std::string& path, std::string_view doing, Errc code = Errc::invalid_input) {
    const std::string said = library_says();
    const bool full = said.find(fmt::format("errno = {}", ENOSPC)) != std::string::npos ||
                      said.find(fmt::format("errno = {}", EFBIG)) != std::string::npos ||
                      said.find(fmt::format("errno = {}", EDQUOT)) != std::string::npos;
    throw Error{full ? Errc::exhausted : code, fmt::format("{} cannot {}: {}", in_quotes(path), doing, said)};
}

[[nodiscard]] Id text_type() {
    Id type{H5Tcopy(H5T_C_S1)};
    H5Tset_size(type.get(), H5T_VARIABLE);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    return type;
}

[[nodiscard]] Id gpu_type() {
    const Id text = text_type();
    Id type{H5Tcreate(H5T_COMPOUND, sizeof(GpuRow))};
    for (std::size_t i = 0; i < gpu_fields; ++i)
        H5Tinsert(type.get(), gpu_field_names[i], i * sizeof(char*), text.get());
    return type;
}

[[nodiscard]] Id value_type() {
    Id type{H5Tcreate(H5T_COMPOUND, sizeof(Row))};
    H5Tinsert(type.get(), "time_ns", HOFFSET(Row, time_ns), H5T_NATIVE_INT64);
    H5Tinsert(type.get(), "value", HOFFSET(Row, value), H5T_NATIVE_DOUBLE);
    H5Tinsert(type.get(), "gpu", HOFFSET(Row, gpu), H5T_NATIVE_UINT32);
    H5Tinsert(type.get(), "labels", HOFFSET(Row, labels), H5T_NATIVE_UINT32);
    return type;
}

/// The library prints every error otherwise. For the calling thread.
void keep_quiet() {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

/// A one-dimensional dataset that grows.
class Table {
public:
    /// Opens it, or makes it where `may_create`. @throws Error naming the file.
    Table(const std::string& path, hid_t file, const std::string& name, Id type, hsize_t chunk, bool may_create)
        : path_{path}, type_{std::move(type)} {
        if (!may_create || H5Lexists(file, name.c_str(), H5P_DEFAULT) > 0) {
            set_ = Id{H5Dopen2(file, name.c_str(), H5P_DEFAULT)};
            if (!set_) fail(path_, "be read: no table \"" + name + "\"");
            const Id space{H5Dget_space(set_.get())};
            if (H5Sget_simple_extent_ndims(space.get()) != 1) fail(path_, "be read: \"" + name + "\" is no table");
            H5Sget_simple_extent_dims(space.get(), &rows_, nullptr);
            return;
        }
        const hsize_t most = H5S_UNLIMITED;
        const Id space{H5Screate_simple(1, &rows_, &most)};
        const Id properties{H5Pcreate(H5P_DATASET_CREATE)};
        H5Pset_chunk(properties.get(), 1, &chunk);
        const Id links{H5Pcreate(H5P_LINK_CREATE)};
        H5Pset_create_intermediate_group(links.get(), 1);
        set_ = Id{H5Dcreate2(file, name.c_str(), type_.get(), space.get(), links.get(), properties.get(), H5P_DEFAULT)};
        if (!set_) fail(path_, "be written");
    }

    [[nodiscard]] hsize_t rows() const noexcept { return rows_; }
    [[nodiscard]] hid_t set() const noexcept { return set_.get(); }

    /// Writes rows from `first` on; the table grows as it needs to.
    void write(hsize_t first, hsize_t count, const void* rows) {
        if (count == 0) return;
        if (first + count > rows_) {
            const hsize_t grown = first + count;
            if (H5Dset_extent(set_.get(), &grown) < 0) fail(path_, "be written");
            rows_ = grown;
        }
        const auto [memory, file] = spaces(first, count);
        if (H5Dwrite(set_.get(), type_.get(), memory.get(), file.get(), H5P_DEFAULT, rows) < 0)
            fail(path_, "be written");
    }

    void read(hsize_t first, hsize_t count, void* rows) const {
        if (count == 0) return;
        const auto [memory, file] = spaces(first, count);
        if (H5Dread(set_.get(), type_.get(), memory.get(), file.get(), H5P_DEFAULT, rows) < 0) fail(path_, "be read");
    }

    /// Gives back the texts that `read` made.
    void reclaim(hsize_t count, void* rows) const {
        const Id memory{H5Screate_simple(1, &count, nullptr)};
        H5Dvlen_reclaim(type_.get(), memory.get(), H5P_DEFAULT, rows);
    }

private:
    [[nodiscard]] std::pair<Id, Id> spaces(hsize_t first, hsize_t count) const {
        Id file{H5Dget_space(set_.get())};
        H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr);
        return {Id{H5Screate_simple(1, &count, nullptr)}, std::move(file)};
    }

    std::string path_;
    Id type_;
    Id set_;
    hsize_t rows_ = 0;
};

[[nodiscard]] std::vector<std::string> read_texts(const Table& table) {
    std::vector<char*> raw(table.rows());
    table.read(0, raw.size(), raw.data());
    std::vector<std::string> texts;
    for (const char* text : raw) texts.emplace_back(text == nullptr ? "" : text);
    table.reclaim(raw.size(), raw.data());
    return texts;
}

[[nodiscard]] std::vector<Gpu> read_gpu_table(const Table& table) {
    std::vector<GpuRow> raw(table.rows());
    table.read(0, raw.size(), raw.data());
    std::vector<Gpu> gpus;
    for (const GpuRow& row : raw) gpus.push_back(gpu_of(row));
    table.reclaim(raw.size(), raw.data());
    return gpus;
}

/// A metric's name as the name of its table: a link's name has no slash and is not only dots.
[[nodiscard]] std::string table_name(std::string_view metric) {
    std::string name = "/telemetry/";
    for (const char c : metric) {
        if (c == '/' || c == '%' || c == '\0' || (c == '.' && name.back() == '/')) {
            name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        } else {
            name += c;
        }
    }
    return name;
}

[[nodiscard]] std::string metric_of(std::string_view name) {
    std::string metric;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] == '%' && i + 2 < name.size()) {
            metric += static_cast<char>(std::strtol(std::string{name.substr(i + 1, 2)}.c_str(), nullptr, 16));
            i += 2;
        } else {
            metric += name[i];
        }
    }
    return metric;
}

[[nodiscard]] std::vector<std::string> metrics_in(hid_t file) {
    std::vector<std::string> names;
    if (H5Lexists(file, "/telemetry", H5P_DEFAULT) <= 0) return names;
    const Id group{H5Gopen2(file, "/telemetry", H5P_DEFAULT)};
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* into) -> herr_t {
        static_cast<std::vector<std::string>*>(into)->push_back(metric_of(name));
        return 0;
    };
    H5Literate(group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names);
    return names;
}

[[nodiscard]] Id open_to_read(const std::string& path) {
    keep_quiet();
    Id file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)};
    if (!file) fail(path, "be read as HDF5");
    return file;
}

}  // namespace

class Store::Impl {
public:
    explicit Impl(std::string path) : path_{std::move(path)}, file_{open()} {
        gpu_table_.emplace(path_, file_.get(), "/gpus", gpu_type(), texts_per_chunk, true);
        label_table_.emplace(path_, file_.get(), "/labels", text_type(), texts_per_chunk, true);
        gpus_ = read_gpu_table(*gpu_table_);
        labels_ = read_texts(*label_table_);
        if (labels_.empty()) labels_.emplace_back();
        for (std::uint32_t i = 0; i < gpus_.size(); ++i) gpu_rows_.emplace(gpus_[i].uuid, i);
        for (std::uint32_t i = 0; i < labels_.size(); ++i) label_rows_.emplace(labels_[i], i);
    }

    void put(const Gpu& gpu) {
        const auto [found, is_new] = gpu_rows_.try_emplace(gpu.uuid, static_cast<std::uint32_t>(gpus_.size()));
        if (is_new) {
            gpus_.push_back(gpu);
        } else if (gpus_[found->second] == gpu) {
            return;
        } else {
            gpus_[found->second] = gpu;
        }
        if (found->second < gpu_table_->rows()) changed_gpus_.push_back(found->second);
    }

    bool add(const Sample& sample, double value) {
        Metric& metric = metric_of_name(sample.metric_name);
        const std::uint32_t gpu = gpu_row(sample.gpu_uuid);
        if (metric.series.size() <= gpu) metric.series.resize(gpu + std::size_t{1});
        if (!metric.series[gpu].add(sample.time_ns)) return false;
        metric.rows.push_back({sample.time_ns, value, gpu, label_row(sample.labels_raw)});
        ++values_;
        if (metric.rows.size() == rows_per_chunk) write(metric);
        return true;
    }

    void flush() {
        for (std::uint32_t row : changed_gpus_) {
            const GpuRow raw = row_of(gpus_[row]);
            gpu_table_->write(row, 1, &raw);
        }
        changed_gpus_.clear();
        std::vector<GpuRow> new_gpus;
        for (std::size_t i = gpu_table_->rows(); i < gpus_.size(); ++i) new_gpus.push_back(row_of(gpus_[i]));
        gpu_table_->write(gpu_table_->rows(), new_gpus.size(), new_gpus.data());
        std::vector<const char*> new_labels;
        for (std::size_t i = label_table_->rows(); i < labels_.size(); ++i) new_labels.push_back(labels_[i].c_str());
        label_table_->write(label_table_->rows(), new_labels.size(), new_labels.data());
        for (auto& [name, metric] : metrics_) write(metric);
        if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0) fail(path_, "be written");
    }

    [[nodiscard]] std::uint64_t values() const noexcept { return values_; }

private:
    struct Metric {
        Table table;
        std::vector<Series> series;  // by row of /gpus
        std::vector<Row> rows = {};  // not in the file yet
    };

    [[nodiscard]] Id open() const {
        keep_quiet();
        const bool is_there = std::filesystem::exists(path_);
        Id file{is_there ? H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT)
                         : H5Fcreate(path_.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT)};
        if (!file) fail(path_, is_there ? "be gone on with" : "be created");
        return file;
    }

    [[nodiscard]] Metric& metric_of_name(std::string_view name) {
        const auto found = metrics_.find(name);
        if (found != metrics_.end()) return found->second;
        Metric metric{Table{path_, file_.get(), table_name(name), value_type(), rows_per_chunk, true}, {}, {}};
        load_series(metric);
        return metrics_.emplace(name, std::move(metric)).first->second;
    }

    void load_series(Metric& metric) const {
        std::vector<Row> rows(rows_per_chunk);
        metric.series.resize(gpus_.size());
        for (hsize_t first = 0; first < metric.table.rows(); first += rows.size()) {
            rows.resize(std::min<hsize_t>(rows_per_chunk, metric.table.rows() - first));
            metric.table.read(first, rows.size(), rows.data());
            for (const Row& row : rows) {
                if (row.gpu >= metric.series.size()) {
                    throw Error{Errc::invalid_input, in_quotes(path_) + " names a GPU that it does not list"};
                }
                (void)metric.series[row.gpu].add(row.time_ns);
            }
        }
    }

    [[nodiscard]] std::uint32_t gpu_row(std::string_view uuid) {
        if (const auto found = gpu_rows_.find(uuid); found != gpu_rows_.end()) return found->second;
        put({.uuid = std::string{uuid}});
        return gpu_rows_.find(uuid)->second;
    }

    [[nodiscard]] std::uint32_t label_row(std::string_view text) {
        if (text.empty()) return 0;
        if (const auto found = label_rows_.find(text); found != label_rows_.end()) return found->second;
        labels_.emplace_back(text);
        return label_rows_.emplace(text, static_cast<std::uint32_t>(labels_.size() - 1)).first->second;
    }

    void write(Metric& metric) const {
        metric.table.write(metric.table.rows(), metric.rows.size(), metric.rows.data());
        metric.rows.clear();
    }

    template <class T>
    using ByName = std::map<std::string, T, std::less<>>;

    std::string path_;
    Id file_;
    std::optional<Table> gpu_table_;
    std::optional<Table> label_table_;
    std::vector<Gpu> gpus_;
    std::vector<std::string> labels_;
    ByName<std::uint32_t> gpu_rows_;
    ByName<std::uint32_t> label_rows_;
    std::vector<std::uint32_t> changed_gpus_;
    ByName<Metric> metrics_;
    std::uint64_t values_ = 0;
};

Store::Store(std::string path) : impl_{std::make_unique<Impl>(std::move(path))} {}
Store::~Store() = default;

void Store::put(const Gpu& gpu) {
    impl_->put(gpu);
}

bool Store::add(const Sample& sample, double value) {
    return impl_->add(sample, value);
}

void Store::flush() {
    impl_->flush();
}

std::uint64_t Store::values() const noexcept {
    return impl_->values();
}

std::vector<Gpu> read_gpus(const std::vector<std::string>& paths) {
    std::map<std::string, Gpu> by_uuid;
    for (const std::string& path : paths) {
        const Id file = open_to_read(path);
        for (Gpu& gpu : read_gpu_table({path, file.get(), "/gpus", gpu_type(), texts_per_chunk, false})) {
            by_uuid.insert_or_assign(gpu.uuid, std::move(gpu));
        }
    }
    std::vector<Gpu> gpus;
    for (auto& [uuid, gpu] : by_uuid) gpus.push_back(std::move(gpu));
    std::stable_sort(gpus.begin(), gpus.end(), [](const Gpu& a, const Gpu& b) {
        return std::tuple{std::string_view{a.hostname}, a.gpu_index.size(), std::string_view{a.gpu_index}} <
               std::tuple{std::string_view{b.hostname}, b.gpu_index.size(), std::string_view{b.gpu_index}};
    });
    return gpus;
}

void read_values(const std::vector<std::string>& paths, const Query& query,
                 const std::function<void(const Reading&)>& tell) {
    struct Source {
        std::string path;
        Id file;
        std::vector<Gpu> gpus;
        std::vector<std::string> labels;
    };
    std::vector<Source> sources;
    std::map<std::string, bool> metrics;
    for (const std::string& path : paths) {
        Source source{path, open_to_read(path), {}, {}};
        source.gpus = read_gpu_table({path, source.file.get(), "/gpus", gpu_type(), texts_per_chunk, false});
        source.labels = read_texts({path, source.file.get(), "/labels", text_type(), texts_per_chunk, false});
        for (std::string& metric : metrics_in(source.file.get())) {
            if (query.metric.empty() || metric == query.metric) metrics.emplace(std::move(metric), true);
        }
        sources.push_back(std::move(source));
    }

    struct Found {
        Row row;
        const Source* source;
    };
    for (const auto& [metric, unused] : metrics) {
        std::vector<Found> found;
        for (const Source& source : sources) {
            const std::string name = table_name(metric);
            if (H5Lexists(source.file.get(), name.c_str(), H5P_DEFAULT) <= 0) continue;
            const Table table{source.path, source.file.get(), name, value_type(), rows_per_chunk, false};
            std::vector<Row> rows;
            for (hsize_t first = 0; first < table.rows(); first += rows.size()) {
                rows.resize(std::min<hsize_t>(rows_per_chunk, table.rows() - first));
                table.read(first, rows.size(), rows.data());
                for (const Row& row : rows) {
                    if (row.time_ns < query.from_ns || row.time_ns >= query.to_ns) continue;
                    if (row.gpu >= source.gpus.size() || row.labels >= source.labels.size()) {
                        throw Error{Errc::invalid_input,
                                    in_quotes(source.path) + " names a GPU or labels that it does not list"};
                    }
                    if (!query.gpu.empty() && source.gpus[row.gpu].uuid != query.gpu) continue;
                    found.push_back({row, &source});
                }
            }
        }
        const auto key = [](const Found& each) {
            return std::pair{each.row.time_ns, std::string_view{each.source->gpus[each.row.gpu].uuid}};
        };
        std::stable_sort(found.begin(), found.end(), [&](const Found& a, const Found& b) { return key(a) < key(b); });
        for (const Found& each : found) {
            tell({.time_ns = each.row.time_ns,
                  .value = each.row.value,
                  .gpu_uuid = each.source->gpus[each.row.gpu].uuid,
                  .metric_name = metric,
                  .labels_raw = each.source->labels[each.row.labels]});
        }
    }
}

}  // namespace penstock::telemetry
