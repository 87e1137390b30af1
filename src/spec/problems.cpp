#include "spec/problems.hpp"

#include <utility>

namespace penstock {

void Problems::add(std::string text, Errc code) {
    // One thing to mend makes the whole invalid, whatever else is merely not available.
    if (count_ == 0 || code == Errc::invalid_input) code_ = code;
    ++count_;
    if (!full()) shown_.push_back(std::move(text));
}

void Problems::throw_if_any() const {
    if (empty()) return;
    if (count_ == 1) throw Error{code_, shown_.front()};
    std::string all = subject_ + ": " + std::to_string(count_) + " problems";
    for (const auto& text : shown_) all += "\n  " + text;
    if (count_ > shown_.size()) all += "\n  and " + std::to_string(count_ - shown_.size()) + " more";
    throw Error{code_, all};
}

std::string FileProblems::place(int line, std::string_view pointer) const {
    std::string text = file_ + ':' + std::to_string(line);
    if (!pointer.empty()) text.append(": ").append(pointer);
    return text;
}

void FileProblems::add(int line, std::string_view pointer, std::string_view text, Errc code) {
    problems_.add(place(line, pointer).append(": ").append(text), code);
}

void FileProblems::add(std::string_view text) {
    problems_.add(std::string{file_}.append(": ").append(text));
}

void FileProblems::add_syntax(int line, int column, std::string_view text) {
    problems_.add(place(line, {}).append(":").append(std::to_string(column)).append(": ").append(text));
}

}  // namespace penstock
