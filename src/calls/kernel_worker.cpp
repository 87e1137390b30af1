#include "calls/kernel_worker.hpp"

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/nearest.hpp"
#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::size_t longest_failure = 16U << 10U;

class KernelWorker final : public Processor {
public:
    KernelWorker(std::shared_ptr<const Registry> kernels, StageContext& context)
        : kernels_{std::move(kernels)}, context_{context} {}

    void process(const Payload& in, Output& out) override {
        std::string failure;
        try {
            return kernel(in.metadata().string(kernel_key).value_or("")).process(in, out);
        } catch (const std::exception& error) {
            failure = error.what();
        }
        auto answer = out.draft<std::byte>(0);
        answer.set(failure_key, std::string_view{failure}.substr(0, longest_failure));
        out.emit(std::move(answer));
    }

private:
    [[nodiscard]] Processor& kernel(std::string_view name) {
        const auto found = running_.find(name);
        if (found != running_.end()) return *found->second;
        Operator made = kernels_->make(name, kernel_params(*kernels_, name), context_);
        auto& processor = std::get<std::unique_ptr<Processor>>(made);
        return *running_.emplace(name, std::move(processor)).first->second;
    }

    std::shared_ptr<const Registry> kernels_;
    StageContext& context_;
    std::map<std::string, std::unique_ptr<Processor>, std::less<>> running_;
};

}  // namespace

Params kernel_params(const Registry& kernels, std::string_view kernel) {
    const OperatorInfo* info = kernels.find(kernel);
    if (info == nullptr || info->kind != OperatorKind::processor) {
        std::vector<std::string_view> names;
        for (const OperatorInfo* known : kernels.list()) {
            if (known->kind == OperatorKind::processor) names.push_back(known->name);
        }
        throw Error{Errc::invalid_input, "no kernel " + in_quotes(kernel) + suggestion(kernel, names, "known are")};
    }
    Params params;
    if (std::ranges::find(info->params, "strict", &ParamInfo::name) != info->params.end()) {
        params.set("strict", ParamValue{true});
    }
    return kernels.complete(*info, params, {});
}

void add_kernel_worker(Registry& registry, const Registry& kernels) {
    registry.add({.name = std::string{kernel_worker}, .kind = OperatorKind::processor, .help = "Runs kernels."},
                 [held = std::make_shared<const Registry>(kernels)](const Params&, StageContext& context) -> Operator {
                     return std::make_unique<KernelWorker>(held, context);
                 });
}

}  // namespace penstock
