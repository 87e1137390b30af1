#pragma once

#include <algorithm>
#include <cstddef>

namespace penstock {

/// The threads of one instance, for work on a payload that can be cut into pieces. Used by the thread that runs the
/// operator; what is handed over must not call back into the runtime (Output, StageContext).
class Executor {
public:
    virtual ~Executor() = default;

    /// At most so many pieces run at once.
    [[nodiscard]] virtual int threads() const noexcept = 0;
    /// How much of a blob is one piece of work: so much that a thread works in its own cache, so little that all have
    /// something to do.
    [[nodiscard]] virtual std::size_t morsel_bytes() const noexcept = 0;

    /// Calls work(0) ... work(count - 1), each once, in any order, on this thread and on others. Returns when all have
    /// returned. From within work it is a plain loop.
    /// @throws what the first of them to fail threw; those that had not begun are left out.
    template <class Work>
    void for_each(std::size_t count, const Work& work) {
        run(count, &work, [](const void* self, std::size_t piece) { (*static_cast<const Work*>(self))(piece); });
    }

    /// Calls work(begin, end) for ranges of the elements 0 ... count - 1, a morsel each. Which ranges depends on
    /// `count` and the sizes only, not on the threads.
    template <class Work>
    void for_each_morsel(std::size_t count, std::size_t element_bytes, const Work& work) {
        const std::size_t grain = std::max<std::size_t>(morsel_bytes() / std::max<std::size_t>(element_bytes, 1), 1);
        for_each((count + grain - 1) / grain, [&work, count, grain](std::size_t morsel) {
            work(morsel * grain, std::min(count, (morsel + 1) * grain));
        });
    }

protected:
    using Piece = void (*)(const void* work, std::size_t piece);

private:
    virtual void run(std::size_t count, const void* work, Piece call) = 0;
};

}  // namespace penstock
