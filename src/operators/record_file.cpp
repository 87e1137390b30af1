#include "operators/record_file.hpp"

namespace penstock {

RecordFile::RecordFile(const Params& params, StageContext& context)
    : context_{context},
      file_{context.result_path(params.get<std::string>("output"))},
      malformed_{context, MalformedRecords::Strict::no, params.get<std::string>("dead_letter")} {}

void RecordFile::append(std::vector<iovec>& parts, std::uint64_t records) {
    file_.append(parts);
    ++payloads_;
    records_ += records;
    context_.count("records", records);
}

void RecordFile::close() {
    file_.close();
    malformed_.report();
}

std::vector<ParamInfo> record_file_params(const std::string& output, std::vector<ParamInfo> others) {
    others.insert(others.begin(), {.name = "output",
                                   .kind = ParamKind::string,
                                   .help = "File to write; a relative name lies in the run directory's results.",
                                   .fallback = ParamValue{output}});
    others.push_back(dead_letter_param());
    return others;
}

}  // namespace penstock
