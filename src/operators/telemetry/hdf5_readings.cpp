#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <tuple>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "operators/hdf5/types.hpp"
#include "operators/telemetry/hdf5_table.hpp"
#include "operators/telemetry/store.hpp"

namespace penstock::telemetry {
namespace {

using hdf5::Guard;
using hdf5::Id;

/// A store that is open.
class StoreFile {
public:
    explicit StoreFile(const std::string& path)
        : path_{path},
          file_{open_to_read(path)},
          gpus_{read_gpu_rows({path, file_.get(), gpus_name, gpu_type()})},
          labels_{path, file_.get(), labels_name, hdf5::text_type()} {}

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] hid_t file() const noexcept { return file_.get(); }
    [[nodiscard]] std::string_view uuid(const Row& row) const noexcept { return gpus_[row.gpu].uuid; }

    void check(const Row& row) const {
        if (row.gpu < gpus_.size() && row.labels < labels_.rows()) return;
        throw Error{Errc::invalid_input, in_quotes(path_) + " names a GPU or labels that it does not list"};
    }

    /// Valid until the next call.
    [[nodiscard]] std::string_view labels(const Row& row) {
        const hsize_t first = row.labels - row.labels % texts_per_chunk;
        auto found = texts_.find(first);
        if (found == texts_.end()) {
            if (text_bytes_ > most_text_bytes) {
                texts_.clear();
                text_bytes_ = 0;
            }
            auto texts = read_texts(labels_, first, std::min(texts_per_chunk, labels_.rows() - first));
            for (const std::string& text : texts) text_bytes_ += sizeof(std::string) + text.size();
            found = texts_.emplace(first, std::move(texts)).first;
        }
        return found->second[row.labels - first];
    }

private:
    static constexpr std::size_t most_text_bytes = 8U << 20U;

    std::string path_;
    Id file_;
    std::vector<Gpu> gpus_;
    Table labels_;
    std::map<hsize_t, std::vector<std::string>> texts_;  // of a chunk of labels
    std::size_t text_bytes_ = 0;
};

/// The values of one metric in one store.
struct Values {
    /// Of a chunk of rows.
    struct Times {
        std::int64_t first;
        std::int64_t last;
    };

    StoreFile* store;
    Table table;
    std::vector<Times> chunks = {};  // of those that were read
};

struct Found {
    Row row;
    StoreFile* store;
};

bool operator<(const Found& a, const Found& b) noexcept {
    if (a.row.time_ns != b.row.time_ns) return a.row.time_ns < b.row.time_ns;
    return std::pair{a.store->uuid(a.row), std::string_view{a.store->path()}} <
           std::pair{b.store->uuid(b.row), std::string_view{b.store->path()}};
}

}  // namespace

class Readings::Impl {
public:
    Impl(const std::vector<std::string>& paths, Query query, std::size_t at_a_time)
        : query_{std::move(query)}, at_a_time_{at_a_time} {
        for (const std::string& path : paths) {
            stores_.emplace_back(path);
            for (std::string& metric : metrics_in(stores_.back().file())) {
                if (query_.metric.empty() || metric == query_.metric) metrics_.insert(std::move(metric));
            }
        }
    }

    void tell(const std::function<bool(const Reading&)>& teller) {
        for (const std::string& metric : metrics_) {
            if (!tell_metric(metric, teller)) return;
        }
    }

private:
    /// In slices of time that fit the memory. What comes in about the order of time, as telemetry does, is read twice
    /// at most.
    bool tell_metric(const std::string& metric, const std::function<bool(const Reading&)>& teller) {
        std::vector<Values> sources;
        for (StoreFile& store : stores_) {
            if (has_metric(store.file(), metric))
                sources.push_back({&store, Table{store.path(), store.file(), table_name(metric), value_type()}});
        }
        for (std::int64_t from = query_.from_ns; from < query_.to_ns;) {
            const std::int64_t to = find(sources, from);
            for (const Found& each : found_) {
                if (!teller({.time_ns = each.row.time_ns,
                             .value = each.row.value,
                             .gpu_uuid = each.store->uuid(each.row),
                             .metric_name = metric,
                             .labels_raw = query_.labels ? each.store->labels(each.row) : std::string_view{}}))
                    return false;
            }
            from = to;
        }
        return true;
    }

    /// Collects, in order, what matches from a time on. @return the time before which it has everything.
    std::int64_t find(std::vector<Values>& sources, std::int64_t from) {
        std::int64_t to = query_.to_ns;
        found_.clear();
        for (Values& source : sources) {
            const hsize_t all = source.table.rows();
            for (std::size_t chunk = 0; chunk * rows_per_chunk < all; ++chunk) {
                const bool is_known = chunk < source.chunks.size();
                if (is_known && (source.chunks[chunk].last < from || source.chunks[chunk].first >= to)) continue;
                rows_.resize(std::min<hsize_t>(rows_per_chunk, all - chunk * rows_per_chunk));
                source.table.read(chunk * rows_per_chunk, rows_.size(), rows_.data());
                if (!is_known) source.chunks.push_back(times_of(rows_));
                for (const Row& row : rows_) {
                    if (row.time_ns < from || row.time_ns >= to) continue;
                    source.store->check(row);
                    if (!query_.gpu.empty() && source.store->uuid(row) != query_.gpu) continue;
                    found_.push_back({row, source.store});
                }
                if (found_.size() >= at_a_time_) to = leave_later(to);
            }
        }
        std::sort(found_.begin(), found_.end());
        return to;
    }

    [[nodiscard]] static Values::Times times_of(const std::vector<Row>& rows) noexcept {
        const auto [first, last] = std::minmax_element(
            rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.time_ns < b.time_ns; });
        return {first->time_ns, last->time_ns};
    }

    /// Drops the later half. @return the time from which on everything was dropped.
    std::int64_t leave_later(std::int64_t to) {
        const auto earlier = [](const Found& a, const Found& b) { return a.row.time_ns < b.row.time_ns; };
        const auto middle = found_.begin() + static_cast<std::ptrdiff_t>(found_.size() / 2);
        std::nth_element(found_.begin(), middle, found_.end(), earlier);
        std::int64_t cut = middle->row.time_ns;
        if (cut == std::min_element(found_.begin(), found_.end(), earlier)->row.time_ns) ++cut;  // stays whole
        if (cut >= to) return to;
        found_.erase(
            std::remove_if(found_.begin(), found_.end(), [cut](const Found& each) { return each.row.time_ns >= cut; }),
            found_.end());
        return cut;
    }

    Query query_;
    std::size_t at_a_time_;
    std::deque<StoreFile> stores_;
    std::set<std::string> metrics_;
    std::vector<Row> rows_;
    std::vector<Found> found_;
};

Readings::Readings(const std::vector<std::string>& paths, Query query, std::size_t at_a_time) {
    const Guard guard;
    impl_ = std::make_unique<Impl>(paths, std::move(query), at_a_time);
}

Readings::~Readings() {
    const Guard guard;
    impl_.reset();
}

void Readings::tell(const std::function<bool(const Reading&)>& teller) {
    const Guard guard;
    impl_->tell(teller);
}

std::vector<Gpu> read_gpus(const std::vector<std::string>& paths) {
    const Guard guard;
    std::map<std::string, Gpu> by_uuid;
    for (const std::string& path : paths) {
        const Id file = open_to_read(path);
        for (Gpu& gpu : read_gpu_rows({path, file.get(), gpus_name, gpu_type()}))
            by_uuid.insert_or_assign(gpu.uuid, std::move(gpu));
    }
    std::vector<Gpu> gpus;
    for (auto& [uuid, gpu] : by_uuid) gpus.push_back(std::move(gpu));
    std::stable_sort(gpus.begin(), gpus.end(), [](const Gpu& a, const Gpu& b) {
        return std::tuple{std::string_view{a.hostname}, a.gpu_index.size(), std::string_view{a.gpu_index}} <
               std::tuple{std::string_view{b.hostname}, b.gpu_index.size(), std::string_view{b.gpu_index}};
    });
    return gpus;
}

}  // namespace penstock::telemetry
