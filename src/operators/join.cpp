#include <cstring>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"
#include "operators/gather.hpp"
#include "operators/output_channel.hpp"
#include "operators/predicate.hpp"

namespace penstock {
namespace {

class Join final : public Processor {
public:
    Join(const Params& params, StageContext& context)
        : by_{params.get<std::string>("by")},
          key_{params.get<std::string>("key")},
          emit_{params.get<std::string>("emit")},
          separator_{params.get<std::string>("separator")},
          unmatched_{output_channel_param(params, "unmatched", context)},
          room_{static_cast<std::size_t>(params.get<std::int64_t>("pending"))},
          inputs_{context.inputs()},
          context_{context},
          malformed_{context, params} {
        if (by_ == "key" && key_.empty()) {
            throw Error{Errc::invalid_input, "\"key\" must name the metadata key to join by"};
        }
        if (inputs_.size() < 2) {
            throw Error{Errc::invalid_input,
                        fmt::format("join needs two or more input channels, stage \"{}\" has {}; a channel from each "
                                    "partner must lead to it",
                                    context.stage(), inputs_.size())};
        }
        if (!unmatched_.empty()) result_ = only_other_channel();
        index_.reserve(room_ + 1);
    }

    void process(const Payload& in, Output& out) override {
        if (!read_key(in)) {
            malformed_.add(in, by_ == "user_id" ? "it has no user id" : "its metadata lack the key to join by");
            return;
        }
        const std::size_t place = place_of(in.channel());
        const auto known = index_.find(key_of_in_);
        const Place waiting = known == index_.end() ? open() : known->second;
        if (waiting->parts[place]) {
            context_.count("duplicates", 1);
            return;
        }
        waiting->parts[place] = in;
        if (++waiting->found == inputs_.size()) {
            emit(in, *waiting, out);
            close(waiting);
        } else if (waiting_.size() > room_) {
            context_.count("evicted", 1);
            give_up(waiting_.begin(), out);
        }
    }

    void finish(Output& out) override {
        while (!waiting_.empty()) give_up(waiting_.begin(), out);
        malformed_.report();
    }

private:
    /// The partners of one key that have come so far.
    struct Waiting {
        std::string key;
        std::vector<Payload> parts;  ///< One for each input channel; null while it is missing.
        std::size_t found = 0;
    };
    using Place = std::list<Waiting>::iterator;
    using Index = std::unordered_map<std::string_view, Place>;

    [[nodiscard]] std::string only_other_channel() const {
        const auto ends = context_.outputs();
        if (ends.size() == 2) return ends[0].name == unmatched_ ? ends[1].name : ends[0].name;
        throw Error{Errc::invalid_input,
                    "besides that of \"unmatched\", exactly one channel must lead out of a stage that joins"};
    }

    /// Sets `key_of_in_`. @return false if the payload has none.
    bool read_key(const Payload& in) {
        if (by_ == "key") {
            const auto value = in.metadata().find(key_);
            const auto text = value ? text_of(*value) : std::nullopt;
            if (text) key_of_in_ = *text;
            return text.has_value();
        }
        if (by_ == "user_id") {
            const auto user_id = in.user_id();
            if (user_id) set_key({*user_id, 0});
            return user_id.has_value();
        }
        const PayloadId id = in.id();
        set_key({id.sequence, (std::uint64_t{id.instance} << 16U) | id.channel});
        return true;
    }
    void set_key(const std::array<std::uint64_t, 2>& words) {
        key_of_in_.resize(sizeof words);
        std::memcpy(key_of_in_.data(), words.data(), sizeof words);
    }

    [[nodiscard]] std::size_t place_of(std::uint16_t channel) const {
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            if (inputs_[i].number == channel) return i;
        }
        throw Error{Errc::internal, fmt::format("a payload came through channel {}, which leads elsewhere", channel)};
    }

    /// A new place at the end of the line. Places and entries are used again: nothing is allocated once a run is warm.
    Place open() {
        if (free_.empty()) free_.emplace_back();
        waiting_.splice(waiting_.end(), free_, free_.begin());
        const Place place = std::prev(waiting_.end());
        place->key = key_of_in_;
        place->parts.resize(inputs_.size());
        if (spare_.empty()) {
            index_.emplace(place->key, place);
        } else {
            auto entry = std::move(spare_.back());
            spare_.pop_back();
            entry.key() = place->key;
            entry.mapped() = place;
            index_.insert(std::move(entry));
        }
        return place;
    }

    void close(Place place) {
        spare_.push_back(index_.extract(place->key));
        for (auto& part : place->parts) part = Payload{};
        place->found = 0;
        free_.splice(free_.end(), waiting_, place);
    }

    void give_up(Place place, Output& out) {
        context_.count("unmatched", place->found);
        for (const auto& part : place->parts) {
            if (part && !unmatched_.empty()) out.emit(unmatched_, part);
        }
        close(place);
    }

    void emit(const Payload& last, const Waiting& waiting, Output& out) {
        const bool is_stack = emit_ == "stack";
        const Payload& first = waiting.parts.front();
        for (const auto& part : waiting.parts) {
            const std::string reason = is_stack ? why_not_stacked(first, part) : why_not_concatenated(first, part);
            if (reason.empty()) continue;
            malformed_.add(last, "it and its partners do not fit: " + reason);
            return;
        }
        if (is_stack && first.dtype() != DType::text && first.shape().dims() == Shape::max_dims) {
            malformed_.add(last, "it has 8 dimensions, which leaves none to stack along");
            return;
        }
        RawDraft draft = is_stack ? stack(waiting.parts, separator_, out) : concatenate(waiting.parts, separator_, out);
        if (const auto user_id = last.user_id()) draft.set_user_id(*user_id);
        for (const auto& part : waiting.parts) {
            if (carry_metadata(part, draft)) continue;
            malformed_.add(last, "its metadata and those of its partners are too long together");
            return;
        }
        context_.count("joined", 1);
        send(std::move(draft), out);
    }

    void send(RawDraft draft, Output& out) {
        if (result_.empty()) {
            out.emit(std::move(draft));
        } else {
            out.emit(result_, std::move(draft));
        }
    }

    std::string by_;
    std::string key_;
    std::string emit_;
    std::string separator_;
    std::string unmatched_;
    std::size_t room_;
    std::vector<ChannelEnd> inputs_;
    std::string result_;  // channel for what is joined; empty: all
    StageContext& context_;
    MalformedRecords malformed_;
    std::string key_of_in_;
    std::list<Waiting> waiting_;  // oldest first
    std::list<Waiting> free_;
    Index index_;  // by the keys in waiting_
    std::vector<Index::node_type> spare_;
};

}  // namespace

void add_join(Registry& registry) {
    registry.add<Join>({
        .name = "join",
        .help =
            "Makes one payload of those that belong together, one from each of its input channels, in the order of the "
            "channels. A second payload of a channel for the same key is dropped and counted as duplicates.",
        .params = {{.name = "by",
                    .kind = ParamKind::string,
                    .help =
                        "What partners have in common: the id, which stages that emit one payload for each keep; the "
                        "user id; or a metadata value.",
                    .fallback = ParamValue{std::string{"id"}},
                    .choices = {"id", "user_id", "key"}},
                   {.name = "key",
                    .kind = ParamKind::string,
                    .help = "For key: the metadata key.",
                    .fallback = ParamValue{std::string{}}},
                   {.name = "emit",
                    .kind = ParamKind::string,
                    .help = "The elements one after another, for which the dtypes must agree; or stacked along a new "
                            "first dimension, for which the shapes must agree too. Texts always one after another.",
                    .fallback = ParamValue{std::string{"concatenate"}},
                    .choices = {"concatenate", "stack"}},
                   {.name = "separator",
                    .kind = ParamKind::string,
                    .help = "Stands between texts.",
                    .fallback = ParamValue{std::string{"\n"}}},
                   {.name = "pending",
                    .kind = ParamKind::integer,
                    .help = "Keys that may wait for partners; with more, the oldest is given up, counted as evicted.",
                    .fallback = ParamValue{std::int64_t{1024}},
                    .minimum = 1,
                    .maximum = 1'000'000},
                   {.name = "unmatched",
                    .kind = ParamKind::string,
                    .help = "Output channel for payloads that are given up or still wait at the end; empty drops them. "
                            "Counted as unmatched.",
                    .fallback = ParamValue{std::string{}}},
                   strict_param()},
    });
}

}  // namespace penstock
