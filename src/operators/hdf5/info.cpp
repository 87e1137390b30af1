#include "operators/hdf5/info.hpp"

#include "operators/malformed.hpp"

namespace penstock::hdf5 {

OperatorInfo sink_info() {
    return {
        .name = "hdf5_sink",
        .help =
            "Writes payloads to an HDF5 file that stays readable whatever happens to the run, with their ids and "
            "metadata in a table beside the data; drops and counts payloads of another form than the first one.",
        .params = {{.name = "output",
                    .kind = ParamKind::string,
                    .help = "File to write; a relative name lies in the run directory's results. Of several instances "
                            "each writes its own, and the last one a file of this name that joins them, unless they "
                            "share one.",
                    .fallback = ParamValue{std::string{"results.h5"}}},
                   {.name = "dataset",
                    .kind = ParamKind::string,
                    .help = "Name of the dataset (with \"separate\": of the group).",
                    .fallback = ParamValue{std::string{"data"}}},
                   {.name = "layout",
                    .kind = ParamKind::string,
                    .help = "stack: each payload is one element of a new first dimension; append: payloads follow each "
                            "other along their first dimension; separate: a dataset for each payload.",
                    .fallback = ParamValue{std::string{"stack"}},
                    .choices = {"stack", "append", "separate"}},
                   {.name = "compression",
                    .kind = ParamKind::string,
                    .help = "Filters of the chunks.",
                    .fallback = ParamValue{std::string{"none"}},
                    .choices = {"none", "gzip", "shuffle_gzip"}},
                   {.name = "level",
                    .kind = ParamKind::integer,
                    .help = "Of the compression: 1 is fast, 9 is small.",
                    .fallback = ParamValue{std::int64_t{4}},
                    .minimum = 1,
                    .maximum = 9},
                   {.name = "chunk",
                    .kind = ParamKind::size,
                    .help = "Largest size of a chunk of several rows; a larger row is a chunk of its own.",
                    .fallback = ParamValue{std::int64_t{1} << 20},
                    .unit = "bytes",
                    .minimum = 1024,
                    .maximum = 1U << 30U},
                   {.name = "metadata",
                    .kind = ParamKind::boolean,
                    .help = "Whether to write the table of ids and metadata.",
                    .fallback = ParamValue{true}},
                   {.name = "buffer",
                    .kind = ParamKind::size,
                    .help = "Payloads that wait for the disk; beyond it the stage takes no more.",
                    .fallback = ParamValue{std::int64_t{64} << 20},
                    .unit = "bytes",
                    .minimum = 1U << 20U,
                    .maximum = 1ULL << 40U},
                   {.name = "flush",
                    .kind = ParamKind::duration,
                    .help = "Longest time until a payload is safe in the file, and so settled.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .unit = "ms",
                    .minimum = 0,
                    .maximum = 60'000},
                   {.name = "shared",
                    .kind = ParamKind::boolean,
                    .help = "Whether all instances write one file together, through MPI-IO; for runs that MPI starts, "
                            "layouts stack (without texts) and append, and no compression.",
                    .fallback = ParamValue{false}},
                   strict_param()},
    };
}

OperatorInfo source_info() {
    return {
        .name = "hdf5_source",
        .help =
            "Reads a dataset of an HDF5 file along its first dimension; its instances share the rows. Of a file of "
            "hdf5_sink it makes the payloads that were written, with user ids and metadata.",
        .params = {{.name = "input",
                    .kind = ParamKind::string,
                    .help = "File to read; a relative name starts from the folder in which the program was started."},
                   {.name = "dataset",
                    .kind = ParamKind::string,
                    .help = "Path of the dataset in the file.",
                    .fallback = ParamValue{std::string{"data"}}},
                   {.name = "rows",
                    .kind = ParamKind::integer,
                    .help = "Rows in a payload; 0 takes the payloads as hdf5_sink has written them, and of other files "
                            "about 1 MiB of rows.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "payloads",
                    .kind = ParamKind::boolean,
                    .help =
                        "Whether to use the table of payloads that hdf5_sink writes, where there is one. false reads "
                        "nothing of variable length, on which HDF5 itself can hang when a file is damaged.",
                    .fallback = ParamValue{true}},
                   {.name = "share",
                    .kind = ParamKind::string,
                    .help = "How the instances share: round_robin, payload by payload; contiguous, each one a part.",
                    .fallback = ParamValue{std::string{"round_robin"}},
                    .choices = {"round_robin", "contiguous"}}},
    };
}

}  // namespace penstock::hdf5
