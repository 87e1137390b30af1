#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <penstock/operator.hpp>

#include "operators/hdf5/result_file.hpp"
#include "operators/malformed.hpp"

namespace penstock::hdf5 {

/// Writes payloads to a file that all instances of the stage write together. It keeps each payload until it is written.
/// Used by the thread that runs the operator.
class SharedWriter {
public:
    struct Limits {
        std::uint64_t buffer_bytes = 64U << 20U;  ///< Of payloads that are not yet written.
        std::chrono::milliseconds flush{100};     ///< After that long an instance asks the others to write.
    };

    virtual ~SharedWriter() = default;
    /// Counts the payloads once they are written, and those of another form as malformed. May wait for the others while
    /// the buffer is full.
    virtual void put(const Payload& payload) = 0;
    /// To be called at every tick, which it asks for: the others may want to write.
    virtual void tick() = 0;
    /// Waits until all instances have written everything and the file is complete.
    virtual void finish() = 0;

    [[nodiscard]] virtual std::uint64_t payloads() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t bytes() const noexcept = 0;
};

/// Collective over the stage. The settings' path is that of the one file.
/// @throws Error{unsupported} naming what is missing: MPI-IO in this build, MPI in this run, a layout that can do it.
[[nodiscard]] std::unique_ptr<SharedWriter> make_shared_writer(const ResultSettings& settings, const Origin& origin,
                                                               StageContext& context, MalformedRecords& malformed,
                                                               SharedWriter::Limits limits);

}  // namespace penstock::hdf5
