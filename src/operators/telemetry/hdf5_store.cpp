#include <algorithm>
#include <map>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "operators/hdf5/commit_file.hpp"
#include "operators/hdf5/types.hpp"
#include "operators/telemetry/hdf5_table.hpp"
#include "operators/telemetry/series.hpp"
#include "operators/telemetry/store.hpp"

namespace penstock::telemetry {
namespace {

using hdf5::CommitFile;
using hdf5::Guard;
using hdf5::Id;

constexpr unsigned most_links = 65535;  // in a group's header

/// Nothing of a file that is no store may be touched.
[[nodiscard]] std::string checked(std::string path, const CommitFile& bytes) {
    if (!bytes.is_there()) return path;
    const Id file = open_to_read(path);
    for (const char* table : {gpus_name, labels_name, metrics_name}) {
        if (H5Lexists(file.get(), table, H5P_DEFAULT) <= 0)
            throw Error{Errc::invalid_input, in_quotes(path) + " cannot be gone on with: it is no telemetry, for it " +
                                                 "has no \"" + table + "\"; set \"output\" to another name"};
    }
    return path;
}

}  // namespace

/// Rows are only ever appended: what a reader of the committed file finds does not change under it. Of the object
/// headers, which a commit writes in the order of their addresses, those of /gpus and /labels come first, so that no
/// value names a row that is not there.
class Store::Impl {
public:
    explicit Impl(const std::string& path)
        : bytes_{path, CommitFile::Start::go_on},
          path_{checked(path, bytes_)},
          file_{bytes_.is_there() ? bytes_.open() : bytes_.create()} {
        if (!bytes_.is_there()) {
            bytes_.guard([&] { create_tables(); });
            return;
        }
        gpu_table_.emplace(path_, file_.get(), gpus_name, gpu_type());
        label_table_.emplace(path_, file_.get(), labels_name, hdf5::text_type());
        gpus_ = read_gpu_rows(*gpu_table_);
        for (std::uint32_t i = 0; i < gpus_.size(); ++i) {
            const auto [found, is_new] = gpu_rows_.try_emplace(gpus_[i].uuid, i);
            first_rows_.push_back(found->second);
            if (!is_new) gpus_[found->second] = gpus_[i];
        }
        labels_ = read_texts(*label_table_, 0, label_table_->rows());
        if (labels_.empty()) labels_.emplace_back();
        for (std::uint32_t i = 0; i < labels_.size(); ++i) label_rows_.emplace(labels_[i], i);
    }

    void put(const Gpu& gpu) {
        const auto [found, is_new] = gpu_rows_.try_emplace(gpu.uuid, static_cast<std::uint32_t>(gpus_.size()));
        if (is_new) {
            first_rows_.push_back(found->second);
            gpus_.push_back(gpu);
            return;
        }
        if (gpus_[found->second] == gpu) return;
        gpus_[found->second] = gpu;
        if (found->second < gpu_table_->rows()) changed_gpus_.push_back(found->second);
    }

    bool add(const Sample& sample, double value) {
        Metric& metric = metric_of_name(sample.metric_name);
        const std::uint32_t gpu = gpu_row(sample.gpu_uuid);
        if (metric.series.size() <= gpu) metric.series.resize(gpu + std::size_t{1});
        if (!metric.series[gpu].add(sample.time_ns)) return false;
        metric.rows.push_back({sample.time_ns, value, gpu, label_row(sample.labels_raw)});
        ++values_;
        if (metric.rows.size() == rows_per_chunk) bytes_.guard([&] { write(metric); });
        return true;
    }

    void flush() {
        bytes_.guard([&] {
            flush_gpus();
            append_texts(*label_table_, labels_, label_table_->rows());
            for (auto& [name, metric] : metrics_) write(metric);
            commit();
        });
    }

    void sync() { bytes_.sync(); }

    [[nodiscard]] std::uint64_t values() const noexcept { return values_; }

private:
    struct Metric {
        Table table;
        std::vector<Series> series;  // by first row of the GPU
        std::vector<Row> rows = {};  // not in the file yet
    };

    void commit() {
        hdf5::check(H5Fflush(file_.get(), H5F_SCOPE_GLOBAL), "cannot flush the HDF5 file");
        bytes_.commit();
    }

    void create_tables() {
        gpu_table_.emplace(path_, file_.get(), gpus_name, gpu_type(), texts_per_chunk);
        label_table_.emplace(path_, file_.get(), labels_name, hdf5::text_type(), texts_per_chunk);
        labels_.emplace_back();
        label_rows_.emplace("", 0);
        // All links in the header of the group: there a new one appears with one write.
        const Id properties = hdf5::made(H5Pcreate(H5P_GROUP_CREATE), "HDF5 group");
        hdf5::check(H5Pset_link_phase_change(properties.get(), most_links, most_links - 1), "HDF5 group");
        const Id group =
            hdf5::made(H5Gcreate2(file_.get(), metrics_name, H5P_DEFAULT, properties.get(), H5P_DEFAULT), "HDF5 group");
        append_texts(*label_table_, labels_, 0);
        commit();
        bytes_.publish();
    }

    /// What has changed of a GPU is a row of its own; while rows wait, they change where they are.
    void flush_gpus() {
        std::vector<Gpu> rows(gpus_.begin() + static_cast<std::ptrdiff_t>(gpu_table_->rows()), gpus_.end());
        std::sort(changed_gpus_.begin(), changed_gpus_.end());
        changed_gpus_.erase(std::unique(changed_gpus_.begin(), changed_gpus_.end()), changed_gpus_.end());
        for (const std::uint32_t row : changed_gpus_) {
            gpus_.push_back(gpus_[row]);
            first_rows_.push_back(row);
            rows.push_back(gpus_[row]);
        }
        changed_gpus_.clear();
        append_gpus(*gpu_table_, rows);
    }

    [[nodiscard]] Metric& metric_of_name(std::string_view name) {
        const auto found = metrics_.find(name);
        if (found != metrics_.end()) return found->second;
        const std::string table = table_name(name);
        if (!has_metric(file_.get(), name)) {
            Metric metric{Table{path_, file_.get(), table, value_type(), rows_per_chunk}, {}};
            return metrics_.emplace(name, std::move(metric)).first->second;
        }
        Metric metric{Table{path_, file_.get(), table, value_type()}, {}};
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
                if (row.gpu >= first_rows_.size()) {
                    throw Error{Errc::invalid_input, in_quotes(path_) + " names a GPU that it does not list"};
                }
                (void)metric.series[first_rows_[row.gpu]].add(row.time_ns);
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

    static void write(Metric& metric) {
        metric.table.append(metric.rows.size(), metric.rows.data());
        metric.rows.clear();
    }

    template <class T>
    using ByName = std::map<std::string, T, std::less<>>;

    CommitFile bytes_;
    std::string path_;
    Id file_;
    std::optional<Table> gpu_table_;
    std::optional<Table> label_table_;
    std::vector<Gpu> gpus_;                  // as the rows of /gpus; what is known of one is in its first row
    std::vector<std::uint32_t> first_rows_;  // of the GPU of each row
    std::vector<std::string> labels_;
    ByName<std::uint32_t> gpu_rows_;  // the first ones
    ByName<std::uint32_t> label_rows_;
    std::vector<std::uint32_t> changed_gpus_;
    ByName<Metric> metrics_;
    std::uint64_t values_ = 0;
};

Store::Store(const std::string& path) {
    const Guard guard;
    impl_ = std::make_unique<Impl>(path);
}

Store::~Store() {
    const Guard guard;
    impl_.reset();
}

void Store::put(const Gpu& gpu) {
    impl_->put(gpu);
}

bool Store::add(const Sample& sample, double value) {
    const Guard guard;
    return impl_->add(sample, value);
}

void Store::flush() {
    const Guard guard;
    impl_->flush();
}

void Store::sync() {
    impl_->sync();
}

std::uint64_t Store::values() const noexcept {
    return impl_->values();
}

}  // namespace penstock::telemetry
