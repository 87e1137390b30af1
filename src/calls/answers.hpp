#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "calls/lent_bodies.hpp"

namespace penstock {

/// Answers as the program holds them. A small one is a copy; a larger one points to where the blob lies and keeps its
/// payload in custody, so that the memory is not used again.
class Answers final : public LentBodies {
public:
    /// @param user_id  Instead of the payload's own. On the thread that received it.
    [[nodiscard]] Payload take(const Payload& received, std::optional<std::uint64_t> user_id);

    /// Settles what is still held. Those who hold it may go on reading: whoever could write there has ended, or is
    /// killed without having heard of it.
    void settle_all() noexcept;
    /// After that nothing of the run is used any more but its memory.
    void close() noexcept;

    void retire(PayloadBody* body) noexcept override;
    void resolve(PayloadBody& body) override;

private:
    void settle(PayloadBody& body) noexcept;

    std::vector<PayloadBody*> unsettled_;  // each knows its place by `edge`
};

}  // namespace penstock
