#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/error.hpp>

namespace penstock {

/// Collects what is wrong with one thing, so that it can be mended in one go.
class Problems {
public:
    static constexpr std::size_t max_shown = 20;

    /// @param subject  What is checked, for the headline when there are several: a file, a pipeline.
    explicit Problems(std::string subject) : subject_{std::move(subject)} {}

    void add(std::string text, Errc code = Errc::invalid_input);
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    /// True when further problems would only be counted: time to stop looking for good advice.
    [[nodiscard]] bool full() const noexcept { return shown_.size() == max_shown; }

    /// @throws Error with all of them, if there are any: `invalid_input` unless each is of another kind.
    void throw_if_any() const;

private:
    std::string subject_;
    std::vector<std::string> shown_;
    std::size_t count_ = 0;
    Errc code_ = Errc::invalid_input;
};

/// The problems of a pipeline file: each has its line and its JSON pointer.
class FileProblems {
public:
    explicit FileProblems(std::string file) : file_{std::move(file)}, problems_{file_} {}

    /// "jobs/x.json:7: /stages/1".
    [[nodiscard]] std::string place(int line, std::string_view pointer) const;
    void add(int line, std::string_view pointer, std::string_view text, Errc code = Errc::invalid_input);
    /// For the file as a whole.
    void add(std::string_view text);
    /// For text that is not JSON. Line and column count from 1.
    void add_syntax(int line, int column, std::string_view text);
    [[nodiscard]] bool full() const noexcept { return problems_.full(); }
    void throw_if_any() const { problems_.throw_if_any(); }

private:
    std::string file_;
    Problems problems_;
};

}  // namespace penstock
