#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <penstock/memory.hpp>

#include "operators/hdf5/handles.hpp"
#include "operators/hdf5/payload_table.hpp"
#include "operators/hdf5/result_file.hpp"
#include "operators/hdf5/stage_group.hpp"

namespace penstock::hdf5 {

/// The file that all instances of a stage write through MPI-IO. Whatever is collective is so over the stage.
/// To be made, used and destroyed under a `Guard`.
class SharedFile {
public:
    /// Of a file or of a round.
    struct Extent {
        std::uint64_t payloads = 0;
        std::uint64_t rows = 0;
        std::uint64_t metadata_bytes = 0;
    };
    struct Part {
        Payload payload;
        std::span<const std::byte> bytes;
        std::uint64_t rows = 0;
        std::string metadata;  ///< JSON; empty for none.
    };

    /// Collective: instance 0 creates the file, and all open it.
    SharedFile(const ResultSettings& settings, const Origin& origin, StageGroup& group);
    SharedFile(const SharedFile&) = delete;
    SharedFile& operator=(const SharedFile&) = delete;
    /// Collective.
    ~SharedFile();

    /// Makes the datasets. Collective, with the same form in all.
    void create_datasets(DType dtype, const Shape& shape);
    [[nodiscard]] bool has_datasets() const noexcept { return static_cast<bool>(ids_.data); }

    /// Writes the parts of this instance behind those of the instances before it. Collective.
    /// @param before  What the instances before this one bring to the round.
    /// @param all     What all bring.
    /// @throws Error{exhausted} if the disk is full, in all instances.
    void write(const std::vector<Part>& parts, const Extent& before, const Extent& all);

    /// Marks the file as complete, waits for the storage and closes it. Collective.
    void complete();

private:
    struct Ids {
        Id file;
        Id data;
        std::optional<SharedTableWriter> table;
    };

    [[nodiscard]] std::uint64_t most_bytes() const;
    void make_room();
    void write_alone(const std::vector<Part>& parts, const Extent& at);
    void write_rows(std::uint64_t first, std::uint64_t rows, const std::byte* bytes);
    [[nodiscard]] std::vector<hsize_t> extents(std::uint64_t rows) const;
    template <class Body>
    void together(Body&& body);

    ResultSettings settings_;
    StageGroup& group_;
    Ids ids_;
    bool is_broken_ = false;  // a collective call has failed, or one is under way
    DType dtype_{};
    Shape row_;
    std::uint64_t row_bytes_ = 0;
    std::uint64_t created_bytes_ = 0;
    Extent written_;
    std::uint64_t room_ = 0;  // bytes that the disk has for the file
    std::vector<std::byte> gathered_;
};

}  // namespace penstock::hdf5
