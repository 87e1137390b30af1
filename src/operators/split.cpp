#include <cstring>
#include <map>
#include <optional>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"
#include "operators/output_channel.hpp"
#include "operators/predicate.hpp"

namespace penstock {
namespace {

class Split final : public Processor {
public:
    Split(const Params& params, StageContext& context)
        : by_{params.get<std::string>("by")},
          key_{params.get<std::string>("key")},
          channel_{output_channel_param(params, "channel", context)},
          otherwise_{output_channel_param(params, "otherwise", context)},
          parts_{static_cast<std::uint64_t>(params.get<std::int64_t>("parts"))},
          context_{context},
          malformed_{context, params} {
        if (by_ == "comparison") predicate_.emplace(comparison_of(params));
        if (by_ == "comparison" && channel_.empty() && otherwise_.empty()) {
            throw Error{Errc::invalid_input,
                        "\"channel\" or \"otherwise\" must name a channel, or nothing goes anywhere"};
        }
        if (by_ == "key") read_routes(params);
    }

    void process(const Payload& in, Output& out) override {
        if (by_ == "parts") {
            cut(in, out);
        } else if (by_ == "comparison") {
            emit(in, predicate_->matches(in.metadata()) ? channel_ : otherwise_, out);
        } else {
            emit(in, channel_of(in), out);
        }
    }

    void finish(Output&) override { malformed_.report(); }

private:
    void read_routes(const Params& params) {
        if (key_.empty()) throw Error{Errc::invalid_input, "\"key\" must name the metadata key to split by"};
        for (const auto& end : context_.outputs()) routes_.emplace(end.name, end.name);
        for (const auto& element : params.get<ParamValue::List>("routes")) {
            const auto* text = std::get_if<std::string>(&element.value);
            const std::size_t sign = text == nullptr ? std::string::npos : text->rfind('=');
            if (sign == std::string::npos) {
                throw Error{Errc::invalid_input,
                            "\"routes\" must have texts like \"value=channel\", not " + printable(element.text())};
            }
            check_output_channel("routes", std::string_view{*text}.substr(sign + 1), context_);
            routes_.insert_or_assign(text->substr(0, sign), text->substr(sign + 1));
        }
    }

    [[nodiscard]] const std::string& channel_of(const Payload& in) const {
        const auto value = in.metadata().find(key_);
        const auto text = value ? text_of(*value) : std::nullopt;
        const auto route = text ? routes_.find(*text) : routes_.end();
        return route == routes_.end() ? otherwise_ : route->second;
    }

    void emit(const Payload& in, const std::string& channel, Output& out) {
        if (channel.empty()) {
            context_.count("unrouted", 1);
        } else {
            out.emit(channel, in);
        }
    }

    void cut(const Payload& in, Output& out) {
        const Shape shape = in.shape();
        if (shape.dims() == 0 || shape.count() * size_of(in.dtype()) != in.size_bytes()) {
            malformed_.add(in, "its shape and its size disagree");
            return;
        }
        const auto bytes = in.bytes();
        const std::uint64_t rows = shape[0];
        const std::size_t row_bytes = rows == 0 ? 0 : bytes.size() / rows;
        const std::uint64_t parts = std::max<std::uint64_t>(1, std::min(parts_, rows));
        std::uint64_t first = 0;
        for (std::uint64_t part = 0; part < parts; ++part) {
            // The first rows % parts of them have one more: the sizes differ by one at most.
            const std::uint64_t many = rows / parts + (part < rows % parts ? 1 : 0);
            std::array<std::uint64_t, Shape::max_dims> extents{};
            std::ranges::copy(shape.extents(), extents.begin());
            extents[0] = many;
            auto draft = draft_of(out, in.dtype(), Shape{std::span<const std::uint64_t>{extents.data(), shape.dims()}});
            if (draft.size_bytes() > 0) {
                std::memcpy(draft.bytes().data(), bytes.data() + first * row_bytes, draft.size_bytes());
            }
            draft.set_format(in.format());
            draft.set("part", part);
            draft.set("parts", parts);
            if (const auto user_id = in.user_id()) draft.set_user_id(*user_id);
            if (!carry_metadata(in, draft)) {
                malformed_.add(in, "its metadata leaves no room for what is to be added");
                return;
            }
            out.emit(std::move(draft));
            first += many;
        }
    }

    std::string by_;
    std::string key_;
    std::string channel_;
    std::string otherwise_;
    std::uint64_t parts_;
    std::optional<Predicate> predicate_;
    std::map<std::string, std::string, std::less<>> routes_;
    StageContext& context_;
    MalformedRecords malformed_;
};

std::vector<ParamInfo> split_params() {
    std::vector<ParamInfo> params{
        {.name = "by",
         .kind = ParamKind::string,
         .help = "To the channel that a metadata value names; to one channel or another by a comparison; or into parts "
                 "along the first dimension, which go to all channels.",
         .fallback = ParamValue{std::string{"key"}},
         .choices = {"key", "comparison", "parts"}}};
    for (auto& param : predicate_params(ParamValue{std::string{}})) params.push_back(std::move(param));
    const ParamValue nothing{std::string{}};
    params.push_back({.name = "routes",
                      .kind = ParamKind::list,
                      .help = "For key: \"value=channel\" for each value that is not the name of its channel.",
                      .fallback = ParamValue{ParamValue::List{}}});
    params.push_back({.name = "channel",
                      .kind = ParamKind::string,
                      .help = "For comparison: where the payloads go that pass it; empty drops them.",
                      .fallback = nothing});
    params.push_back({.name = "otherwise",
                      .kind = ParamKind::string,
                      .help = "Where all others go; empty drops them, counted as unrouted.",
                      .fallback = nothing});
    params.push_back({.name = "parts",
                      .kind = ParamKind::integer,
                      .help = "For parts: how many, of sizes that differ by one at most.",
                      .fallback = ParamValue{std::int64_t{2}},
                      .minimum = 1,
                      .maximum = 1'000'000});
    params.push_back(strict_param());
    return params;
}

}  // namespace

void add_split(Registry& registry) {
    registry.add<Split>({
        .name = "split",
        .help = "Sends payloads to different channels, by reference, or cuts them into parts.",
        .params = split_params(),
    });
}

}  // namespace penstock
