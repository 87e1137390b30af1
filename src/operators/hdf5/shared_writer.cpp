#include "operators/hdf5/shared_writer.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "operators/hdf5/form.hpp"
#include "operators/hdf5/metadata_json.hpp"
#include "operators/hdf5/shared_file.hpp"
#include "operators/hdf5/stage_group.hpp"

namespace penstock::hdf5 {
namespace {

using namespace std::chrono_literals;

/// How soon an instance without data sees that others want to write.
constexpr std::chrono::milliseconds look_period = 5ms;
/// And that all have come, once it has joined in.
constexpr std::chrono::microseconds met_period = 200us;
/// What a small payload costs besides its bytes, about.
constexpr std::uint64_t handle_bytes = 512;

int communicator_of(const StageContext& context) {
    if (const auto communicator = context.communicator()) return *communicator;
    throw Error{Errc::unsupported,
                "parameter \"shared\" needs the run to be started by MPI: start it with 'mpirun -n N penstock run ...' "
                "('penstock plan' says how many ranks), or set it to false for one file an instance"};
}

void check_settings(const ResultSettings& settings) {
    if (settings.layout == Layout::separate) {
        throw Error{
            Errc::unsupported,
            "layout \"separate\" cannot be shared, as all instances would have to create each dataset together; "
            "use \"stack\" or \"append\", or set \"shared\" to false"};
    }
    if (settings.storage.compression != Compression::none) {
        throw Error{Errc::unsupported,
                    "compressed chunks cannot be shared, as each would have to be written by one instance; set "
                    "\"compression\" to \"none\", or \"shared\" to false"};
    }
}

Contribution contribution_of(const std::vector<SharedFile::Part>& parts, const Form& form) {
    Contribution mine;
    mine.payloads = parts.size();
    for (const SharedFile::Part& part : parts) {
        mine.rows += part.rows;
        mine.metadata_bytes += part.metadata.size();
    }
    if (!form.dtype()) return mine;
    mine.has_form = 1;
    mine.dtype = static_cast<std::uint8_t>(*form.dtype());
    mine.dims = static_cast<std::uint8_t>(form.shape().dims());
    std::copy(form.shape().extents().begin(), form.shape().extents().end(), mine.extents.begin());
    return mine;
}

Form form_of(const Contribution& contribution, Layout layout) {
    Form form{layout};
    form.set(static_cast<DType>(contribution.dtype), Shape{std::span{contribution.extents}.first(contribution.dims)});
    return form;
}

/// Time passes in rounds. An instance that has enough asks the others, which see it at their next look, between two
/// payloads or at a tick, and join in. It goes on taking payloads until all have joined; then all write.
class RoundWriter final : public SharedWriter {
public:
    RoundWriter(const ResultSettings& settings, const Origin& origin, StageContext& context,
                MalformedRecords& malformed, Limits limits)
        : context_{context},
          malformed_{malformed},
          limits_{limits},
          layout_{settings.layout},
          group_{communicator_of(context)},
          form_{settings.layout} {
        const Guard guard;
        file_.emplace(settings, origin, group_);
        context_.tick_every(look_period);
    }
    ~RoundWriter() override {
        const Guard guard;
        file_.reset();
    }

    void put(const Payload& payload) override;
    void tick() override { look(); }
    void finish() override;

    [[nodiscard]] std::uint64_t payloads() const noexcept override { return payloads_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept override { return bytes_; }

private:
    struct Misfit {
        Payload payload;
        std::string problem;
    };

    void look();
    [[nodiscard]] bool wants_round() const;
    void join();
    void write_round();
    void agree_on_form(const std::vector<Contribution>& all);
    void take_misfits(std::vector<SharedFile::Part>& parts);
    void settle();
    void pause();

    StageContext& context_;
    MalformedRecords& malformed_;
    Limits limits_;
    Layout layout_;
    StageGroup group_;
    Form form_;  // of this instance's first payload, until all have agreed on one
    bool has_agreed_ = false;
    std::optional<SharedFile> file_;
    std::vector<SharedFile::Part> next_;       // for the next round
    std::vector<SharedFile::Part> joined_;     // in the round that all are to join
    std::vector<SharedFile::Part> undecided_;  // of another form than the first one here, until all have agreed
    std::vector<Misfit> misfits_;
    std::uint64_t next_bytes_ = 0;
    std::uint64_t joined_bytes_ = 0;
    std::uint64_t round_ = 0;  // that this instance has joined
    bool is_joined_ = false;   // in a round that is not written yet
    bool is_full_ = false;
    bool finishing_ = false;
    bool all_finished_ = false;
    SteadyClock::time_point oldest_{};
    std::uint64_t looked_ = 0;
    std::uint64_t payloads_ = 0;
    std::uint64_t bytes_ = 0;
};

void RoundWriter::put(const Payload& payload) {
    if (layout_ == Layout::stack && payload.dtype() == DType::text) {
        throw Error{Errc::unsupported,
                    "texts cannot be shared in layout \"stack\", as HDF5 writes nothing of variable length through "
                    "MPI-IO; use layout \"append\", or set \"shared\" to false"};
    }
    const auto bytes = payload.bytes();
    const std::uint64_t cost = bytes.size() + payload.metadata().encoded().size() + handle_bytes;
    while (next_bytes_ + joined_bytes_ != 0 && next_bytes_ + joined_bytes_ + cost > limits_.buffer_bytes) {
        is_full_ = true;
        look();
        if (next_bytes_ + joined_bytes_ + cost > limits_.buffer_bytes && is_joined_) pause();
    }
    is_full_ = false;
    // Not earlier: the form may be agreed on while this waits.
    const std::string problem = form_.problem_of(payload);
    const bool may_be_right = !has_agreed_ && form_.dtype();  // and no payload without a form waits alone
    if (!problem.empty() && !may_be_right) return malformed_.add(payload, problem);
    if (next_.empty()) oldest_ = SteadyClock::now();
    std::string metadata = metadata_json(payload.metadata());
    if (metadata == "{}") metadata.clear();
    const std::uint64_t rows = layout_ == Layout::stack ? 1 : stored_shape(payload)[0];
    // Until all have agreed the others may have seen that other form first.
    (problem.empty() ? next_ : undecided_).push_back({payload, bytes, rows, std::move(metadata)});
    next_bytes_ += cost;
    if (ticks() - looked_ > short_while) look();
}

void RoundWriter::finish() {
    finishing_ = true;
    while (!all_finished_) {
        look();
        if (!all_finished_) pause();
    }
    const Guard guard;
    file_->complete();
}

/// The others are awaited; the transports go on meanwhile.
void RoundWriter::pause() {
    if (!context_.wait_until(SteadyClock::now() + met_period)) std::this_thread::sleep_for(met_period);
}

void RoundWriter::look() {
    if (!is_joined_) {
        const bool is_asked = group_.asked() > round_;
        const bool is_wanted = wants_round();
        if (is_wanted) group_.ask(round_ + 1);
        // At its end an instance has nothing else to do than to be there.
        if (is_wanted || is_asked || finishing_) join();
    }
    if (is_joined_ && group_.has_met()) write_round();
    looked_ = ticks();
}

bool RoundWriter::wants_round() const {
    if (next_.empty()) return false;
    return finishing_ || is_full_ || next_bytes_ * 4 >= limits_.buffer_bytes ||
           SteadyClock::now() - oldest_ >= limits_.flush;
}

void RoundWriter::join() {
    joined_ = std::exchange(next_, {});
    joined_bytes_ = std::exchange(next_bytes_, 0);
    Contribution mine = contribution_of(joined_, form_);
    mine.is_last = finishing_ && undecided_.empty() ? 1 : 0;
    ++round_;
    is_joined_ = true;
    group_.join(mine);
    context_.tick_every(met_period);
}

void RoundWriter::write_round() {
    const std::vector<Contribution>& all = group_.contributions();
    if (!has_agreed_) agree_on_form(all);
    SharedFile::Extent before;
    SharedFile::Extent sum;
    bool all_last = true;
    for (std::size_t i = 0; i < all.size(); ++i) {
        all_last = all_last && all[i].is_last != 0;
        // What is of another form is left out; this needs no second exchange, as all see the same.
        if (!has_agreed_ || !(form_of(all[i], layout_) == form_)) continue;
        if (static_cast<int>(i) == group_.instance()) before = sum;
        sum.payloads += all[i].payloads;
        sum.rows += all[i].rows;
        sum.metadata_bytes += all[i].metadata_bytes;
    }
    if (sum.payloads > 0) {
        const Guard guard;
        if (!file_->has_datasets()) file_->create_datasets(*form_.dtype(), form_.shape());
        file_->write(joined_, before, sum);
    }
    settle();
    is_joined_ = false;
    all_finished_ = all_last;
    context_.tick_every(look_period);
}

/// The form is that of the first instance that has payloads.
void RoundWriter::agree_on_form(const std::vector<Contribution>& all) {
    const auto first = std::find_if(all.begin(), all.end(), [](const Contribution& each) { return each.payloads > 0; });
    if (first == all.end()) return;
    has_agreed_ = true;
    form_ = form_of(*first, layout_);
    take_misfits(joined_);
    next_.insert(next_.end(), std::make_move_iterator(undecided_.begin()), std::make_move_iterator(undecided_.end()));
    undecided_.clear();
    take_misfits(next_);
}

/// Payloads of one instance have all the same form, until the form is agreed on.
void RoundWriter::take_misfits(std::vector<SharedFile::Part>& parts) {
    std::erase_if(parts, [&](const SharedFile::Part& part) {
        std::string problem = form_.problem_of(part.payload);
        if (problem.empty()) return false;
        misfits_.push_back({part.payload, std::move(problem)});
        return true;
    });
}

void RoundWriter::settle() {
    for (const SharedFile::Part& part : joined_) bytes_ += part.bytes.size();
    payloads_ += joined_.size();
    if (!joined_.empty()) context_.count("payloads", joined_.size());
    joined_.clear();
    joined_bytes_ = 0;
    // Not earlier: a strict stage ends at the first one, and the others would wait for this instance.
    for (const Misfit& misfit : misfits_) malformed_.add(misfit.payload, misfit.problem);
    misfits_.clear();
}

}  // namespace

std::unique_ptr<SharedWriter> make_shared_writer(const ResultSettings& settings, const Origin& origin,
                                                 StageContext& context, MalformedRecords& malformed,
                                                 SharedWriter::Limits limits) {
    check_settings(settings);
    return std::make_unique<RoundWriter>(settings, origin, context, malformed, limits);
}

}  // namespace penstock::hdf5
